"""Guided anchors of a model, in pixels of the image that was given."""

from __future__ import annotations

import numpy as np
import pytest

from cascade_rpn_d2.engine.anchor_pictures import anchor_levels, draw_anchors
from cascade_rpn_d2.engine.generators import trace_anchors
from tests.engine.tiny_models import tiny_model

# Half of what the config scales it to (96 x 128).
IMAGE = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def predictor():
    return tiny_model("tiny_guided_anchor_rpn").load("cpu", trained=False)


def test_levels_are_in_pixels_of_the_image(predictor):
    trace = trace_anchors(predictor, IMAGE)
    levels = anchor_levels(trace)
    assert [level.step for level in levels] == [(s / 2, s / 2) for s in (4, 8, 16, 32, 64)]
    assert [level.active.shape for level in levels[:2]] == [(24, 32), (12, 16)]
    assert levels[0].first == (0, 0)  # the generator's centres are in the upper left corners
    anchors = np.concatenate([level.anchors.reshape(-1, 4) for level in levels])
    np.testing.assert_allclose(anchors, trace.anchors[:, 0].numpy() / 2, rtol=1e-5)
    # A cell of the second level, 24 x 32 cells after the first.
    cell = 24 * 32 + 3 * 16 + 5
    box = levels[1].anchors[3, 5]
    np.testing.assert_allclose((box[:2] + box[2:]) / 2, (5 * 4, 3 * 4), atol=1e-4)
    assert levels[1].probability[3, 5] == trace.probability[cell].double()
    assert levels[1].active[3, 5] == trace.active[cell]
    active = sum(int(level.active.sum()) for level in levels)
    assert active == int(trace.active.sum())


def test_a_picture_has_a_row_per_image(predictor):
    one = draw_anchors(predictor, [IMAGE], width=600)
    two = draw_anchors(predictor, [IMAGE, IMAGE], width=600)
    assert one.shape[1] == two.shape[1] == 600
    assert two.shape[0] > one.shape[0] + 100
    few = draw_anchors(predictor, [IMAGE], top=1, width=600)
    assert not np.array_equal(one, few)


def test_anchors_of_several_shapes_a_cell_have_no_map():
    generator = "model.proposal_generator"
    model = tiny_model(
        "tiny_guided_anchor_rpn",
        f"{generator}.shape=null",
        f"{generator}.head.shape=none",
        f"{generator}.head.adaption=null",
        f"{generator}.head.num_anchors=3",
        f"{generator}.anchor_generator.aspect_ratios=[0.5,1.0,2.0]",
    )
    trace = trace_anchors(model.load("cpu", trained=False), IMAGE)
    assert trace.anchors.shape == (len(trace.active), 3, 4)
    with pytest.raises(ValueError, match="3 anchors a cell, of shapes that it does not predict"):
        anchor_levels(trace)
