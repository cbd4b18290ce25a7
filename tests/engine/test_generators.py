"""The generator inside a model, seen at work: what comes out is what the model itself proposes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from cascade_rpn_d2.engine.generators import (
    anchor_guide_of,
    generator_of,
    proposals_only,
    propose_by_stage,
    run_proposals,
    trace,
    trace_anchors,
)
from cascade_rpn_d2.engine.labelled_images import choose_dataset, load_records, read_record
from cascade_rpn_d2.engine.predictor import BatchPredictor
from tests.engine.tiny_models import tiny_model

IMAGE = np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)


@pytest.mark.parametrize("name", ["tiny_cascade_rpn", "tiny_cascade_faster_rcnn"])
def test_the_last_stage_is_what_the_model_proposes(name):
    predictor = tiny_model(name).load("cpu", trained=False)
    stages = propose_by_stage(predictor, IMAGE)
    assert list(stages) == ["stage 1", "stage 2"]
    expected = proposals_only(predictor)([IMAGE])[0]["proposals"]
    assert len(expected) > 10 and expected.image_size == (60, 90)
    torch.testing.assert_close(stages["stage 2"], expected.proposal_boxes.tensor)
    for boxes in stages.values():
        assert boxes.min() >= 0 and boxes[:, 2].max() <= 90 and boxes[:, 3].max() <= 60
        # The config scales images by 1.42: boxes that were not scaled back would leave the image.
        assert boxes[:, 2].max() > 80


@pytest.mark.parametrize("name", ["tiny_rpn", "tiny_faster_rcnn", "tiny_guided_anchor_rpn"])
def test_a_generator_without_stages_has_one_entry(name):
    predictor = tiny_model(name).load("cpu", trained=False)
    (entry,) = propose_by_stage(predictor, IMAGE).items()
    expected = proposals_only(predictor)([IMAGE])[0]["proposals"].proposal_boxes.tensor
    assert entry[0] == ""
    torch.testing.assert_close(entry[1], expected)
    with pytest.raises(ValueError, match="RPN has no stages"):
        trace(predictor, IMAGE)


@pytest.mark.parametrize("name", ["tiny_rpn", "tiny_faster_rcnn"])
def test_a_dataset_is_run_through_in_order(name, tiny_data):
    model = tiny_model(name)
    predictor = model.load("cpu", trained=False)
    records = load_records(choose_dataset(model.config(), tiny_data))
    pairs = list(run_proposals(predictor, records, batch_size=2))
    assert [record["image_id"] for record, _ in pairs] == [0, 1, 2, 3, 4]
    for record, found in pairs:
        (expected,) = proposals_only(predictor)([read_record(record)])
        torch.testing.assert_close(
            found.proposal_boxes.tensor, expected["proposals"].proposal_boxes.tensor
        )


def test_a_trace_is_in_pixels_that_the_model_sees():
    seen = trace(tiny_model("tiny_cascade_rpn").load("cpu", trained=False), IMAGE)
    # 60 x 90 -> short edge 96 would make 144, more than 128: 85 x 128.
    assert seen.to_image == pytest.approx((90 / 128, 60 / 85))
    assert len(seen.steps) == 2 and [grid.stride for grid in seen.grids] == [4, 8, 16, 32, 64]
    last = seen.steps[-1].refined
    assert last[..., 2].max() <= 128 and last[..., 3].max() <= 85
    assert sum(grid.cells for grid in seen.grids) == last.shape[1]


def test_a_model_without_proposals_is_refused():
    with pytest.raises(ValueError, match="Linear makes no proposals: give a config"):
        generator_of(nn.Linear(1, 1))
    with pytest.raises(ValueError, match="Linear makes no proposals"):
        proposals_only(BatchPredictor(nn.Linear(1, 1)))


@pytest.mark.parametrize("name", ["tiny_guided_anchor_rpn", "tiny_guided_anchor_retinanet"])
def test_anchors_are_those_of_the_model(name):
    predictor = tiny_model(name).load("cpu", trained=False)
    guide = anchor_guide_of(predictor.model)
    assert guide is getattr(predictor.model, "proposal_generator", predictor.model)
    seen = trace_anchors(predictor, IMAGE)
    # 60 x 90 is scaled to 85 x 128, and padded to a multiple of 32.
    assert seen.padded_size == (96, 128)
    assert seen.to_image == pytest.approx((90 / 128, 60 / 85))
    cells = sum(grid.cells for grid in seen.grids)
    assert seen.anchors.shape == (cells, 1, 4) and seen.offset == 0.0
    assert seen.active.equal(seen.probability >= guide.location_threshold)
    predictor([IMAGE])
    assert guide.activity.last == [int(seen.active.sum())]


def test_a_model_without_guided_anchors_is_refused():
    with pytest.raises(
        ValueError, match="^StandardRPN has no guided anchors: give a config such as"
    ):
        anchor_guide_of(tiny_model("tiny_rpn").load("cpu", trained=False).model)
    with pytest.raises(ValueError, match="^Linear has no guided anchors"):
        anchor_guide_of(nn.Linear(1, 1))


def test_anchors_of_a_model_that_has_diverged_are_refused():
    predictor = tiny_model("tiny_guided_anchor_rpn").load("cpu", trained=False)
    torch.nn.init.constant_(predictor.model.proposal_generator.head.shape.bias, float("nan"))
    with pytest.raises(ValueError, match="not finite: the model has diverged"):
        trace_anchors(predictor, IMAGE)
