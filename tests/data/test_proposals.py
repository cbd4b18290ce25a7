"""The proposals of a dataset in memory."""

from __future__ import annotations

import numpy as np
import pytest

from cascade_rpn_d2.data import ProposalFile, ProposalFileError
from tests.data.test_proposal_file import images


def test_an_image_has_its_own_best_first():
    ids, boxes, logits = images()
    found = ProposalFile.from_images(ids, boxes, logits, {"a": 1}, file_names=["x/1.png"] * 3)
    assert len(found) == 3 and found.index.ids == ids and found.metadata == {"a": 1}
    assert found.offsets.tolist() == [0, 3, 3, 8] and found.file_names == ["1.png"] * 3
    for image, (box, logit) in zip(ids, found.images(), strict=True):
        assert (np.diff(logit) <= 0).all()
        assert box is not None and len(box) == len(found.of(image)[0])


def test_equal_scores_keep_their_order():
    boxes = np.arange(12, dtype=np.float32).reshape(3, 4)
    found = ProposalFile.from_images(["a"], [boxes], [np.zeros(3)])
    np.testing.assert_array_equal(found.of("a")[0], boxes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda i, b, s: (i[:2], b, s), "2 image ids, 3 sets of boxes"),
        (lambda i, b, s: (i, b, [*s[:2], s[2][:4]]), r"image 7 has boxes \(5, 4\)"),
        (lambda i, b, s: (i, [*b[:2], b[2] * np.nan], s), "image 7 has boxes that are not finite"),
        (lambda i, b, s: ([1, 2, 1], b, s), "an image id occurs twice"),
        (lambda i, b, s: ([1, "a", 2], b, s), "all whole numbers or all texts"),
    ],
)
def test_what_cannot_be_written_is_refused(change, message):
    with pytest.raises(ProposalFileError, match=message):
        ProposalFile.from_images(*change(*images()))


def test_names_are_of_all_images_or_of_none():
    with pytest.raises(ProposalFileError, match="3 image ids and 2 file_names"):
        ProposalFile.from_images(*images(), file_names=["a", "b"])
