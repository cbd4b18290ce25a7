"""The generator inside a model, seen at work: what comes out is what the model itself proposes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from cascade_rpn_d2.engine.generators import (
    generator_of,
    proposals_only,
    propose_by_stage,
    trace,
)
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


@pytest.mark.parametrize("name", ["tiny_rpn", "tiny_faster_rcnn"])
def test_a_generator_without_stages_has_one_entry(name):
    predictor = tiny_model(name).load("cpu", trained=False)
    (entry,) = propose_by_stage(predictor, IMAGE).items()
    expected = proposals_only(predictor)([IMAGE])[0]["proposals"].proposal_boxes.tensor
    assert entry[0] == ""
    torch.testing.assert_close(entry[1], expected)
    with pytest.raises(ValueError, match="RPN has no stages"):
        trace(predictor, IMAGE)


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
