"""Proposals counted by how well they overlap."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from detectron2.structures import Boxes, BoxMode, Instances

from cascade_rpn_d2.engine.generators import run_proposals
from cascade_rpn_d2.engine.iou_counts import (
    IOUS,
    IoUCounts,
    count_ious,
    iou_table,
    measure_ious,
    write_ious,
)
from cascade_rpn_d2.engine.labelled_images import choose_dataset, load_records
from tests.engine.tiny_models import tiny_model


def image(objects, proposals, scores=None, crowd=()):
    """A record and its proposals, best first unless there are scores."""
    annotations = [
        {"bbox": box, "bbox_mode": BoxMode.XYXY_ABS, "iscrowd": int(number in crowd)}
        for number, box in enumerate(objects)
    ]
    found = Instances((100, 100))
    found.proposal_boxes = Boxes(torch.tensor(proposals, dtype=torch.float32).reshape(-1, 4))
    ranks = torch.arange(len(proposals), 0, -1).float()
    found.objectness_logits = ranks if scores is None else torch.tensor(scores)
    return {"annotations": annotations}, found


# An object of 20 x 20, and proposals as high as it and 20, 16, 12 and 8 wide inside it: IoU 1, 0.8,
# 0.6 and 0.4.
OBJECT = [10, 10, 30, 30]
NESTED = [[10, 10, 10 + width, 30] for width in (20, 16, 12, 8)]


def test_a_worked_example():
    counts = count_ious([image([OBJECT], NESTED)])
    assert (counts.images, counts.proposals) == (1, 4)
    expected = [sum(iou >= least for iou in (1, 0.8, 0.6, 0.4)) for least in IOUS]
    assert counts.per_image() == expected
    assert [counts.at(iou) for iou in (1.0, 0.81, 0.8, 0.61, 0.6, 0.5)] == [1, 1, 2, 2, 3, 3]


def test_each_proposal_counts_once_with_the_object_it_overlaps_most():
    twice = [OBJECT, [10, 10, 26, 30]]  # the second proposal is the second object
    counts = count_ious([image(twice, NESTED)])
    assert counts.at(1.0) == 2 and counts.at(0.75) == 3  # 12 of 16 wide: IoU 0.75
    assert counts.counts[-1] == 4  # 8 of 16 wide: IoU 0.5


def test_counts_are_averages_over_all_images():
    several = [image([OBJECT], NESTED), image([], NESTED), image([OBJECT], [])]
    counts = count_ious(several)
    assert (counts.images, counts.proposals) == (3, 8)
    assert counts.at(0.6) == 3 / 3
    assert count_ious([image([OBJECT], NESTED, crowd=[0])]).counts.max() == 0


def test_the_limit_keeps_the_best():
    counts = count_ious([image([OBJECT], NESTED, scores=[0.1, 0.4, 0.3, 0.2])], limit=2)
    assert counts.proposals == 2
    assert [counts.at(iou) for iou in (1.0, 0.8, 0.6)] == [0, 1, 2]


@pytest.mark.parametrize("name", ["tiny_guided_anchor_rpn", "tiny_cascade_faster_rcnn"])
def test_a_model_is_measured(name, tiny_data):
    model = tiny_model(name)
    predictor = model.load("cpu", trained=False)
    records = load_records(choose_dataset(model.config(), tiny_data))
    counts = measure_ious(predictor, records, 20, batch_size=2)
    expected = count_ious(run_proposals(predictor, records), 20)
    np.testing.assert_array_equal(counts.counts, expected.counts)
    assert counts.images == 5 and 5 < counts.proposals <= 100
    assert (np.diff(counts.counts) >= 0).all()
    for record in records:
        record["annotations"] = []
    with pytest.raises(ValueError, match="None of the 5 images has an object"):
        measure_ious(predictor, records)


def test_table_and_json_hold_the_values(tmp_path):
    model = tiny_model("tiny_rpn")
    found = {model.name: IoUCounts(2, 30, np.arange(51))}
    cells = [cell.strip() for cell in iou_table(found).splitlines()[2].split("|")[1:-1]]
    # At 0.9 the eleventh value, 10, of two images.
    assert cells == ["tiny_rpn", "15.0", "5.0", "10.0", "15.0", "20.0", "25.0"]
    write_ious(tmp_path / "a.json", "data", 100, [model], found)
    written = json.loads((tmp_path / "a.json").read_text())
    assert (written["dataset"], written["limit"], written["ious"][-1]) == ("data", 100, 0.5)
    entry = written["models"]["tiny_rpn"]
    assert entry["above_iou_per_image"][10] == 5 and entry["proposals_per_image"] == 15
    assert entry["config"] == model.config_file
