"""The bytes of a proposal file; what a broken one says is tested with the whole file."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest

from cascade_rpn_d2.data.proposal_archive import (
    Index,
    ProposalFileError,
    counts_to_offsets,
    ids_to_array,
    read_index,
    read_rows,
    write_archive,
)


def test_offsets_are_running_sums_from_0():
    assert counts_to_offsets([3, 0, 2]).tolist() == [0, 3, 3, 5]
    assert counts_to_offsets([]).tolist() == [0]


def test_ids_need_no_pickle():
    assert ids_to_array([2**40, 1]).dtype == np.int64 and ids_to_array(["a", "ü"]).dtype.kind == "U"
    assert ids_to_array([]).dtype == np.int64
    for ids in ([1, "a"], [1.5], [True]):
        with pytest.raises(ProposalFileError, match="all whole numbers or all texts"):
            ids_to_array(ids)


def test_blocks_make_one_array_and_are_read_in_others(tmp_path, monkeypatch):
    monkeypatch.setattr("cascade_rpn_d2.data.proposal_archive._BLOCK", 4)
    boxes = np.arange(28, dtype=np.float32).reshape(7, 4)
    logits = np.arange(7, dtype=np.float32)
    index = Index([5, 6], [], np.array([0, 5, 7]), {"b": 1, "a": 2})
    path = tmp_path / "p.npz"
    with open(path, "wb") as file:
        write_archive(file, index, iter([boxes[:1], boxes[1:]]), iter([logits[:6], logits[6:]]))
    found = read_index(path)
    assert found.ids == [5, 6] and found.metadata["a"] == 2
    for topk, rows in ((None, range(7)), (2, [0, 1, 5, 6]), (0, [])):
        kept, scores, offsets = read_rows(path, found.offsets, topk)
        np.testing.assert_array_equal(kept, boxes[list(rows)])
        np.testing.assert_array_equal(scores, logits[list(rows)])
        assert offsets[-1] == len(rows)


def test_no_time_of_day_is_in_the_bytes():
    file = io.BytesIO()
    write_archive(file, Index([], [], np.array([0]), {}), [], [])
    with zipfile.ZipFile(file) as archive:
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
