"""Where the convolutions of a model read, in pixels of the image that was given."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cascade_rpn_d2.engine.convolution_pictures import (
    Cell,
    adaptive_sampling,
    best_cell,
    cell_centers,
    centers_of,
    learned_sampling,
    plain_samplings,
)
from cascade_rpn_d2.engine.generators import propose_by_stage, trace
from cascade_rpn_d2.modeling import AdaptiveAlignment
from tests.engine.tiny_models import tiny_model

# Half of what the config scales it to (96 x 128): the trace sees every place at twice its pixels.
IMAGE = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
CELLS = [Cell("p3", 3, 5), Cell("p3", 6, 11)]


@pytest.fixture
def predictor():
    predictor = tiny_model("tiny_cascade_rpn").load("cpu", trained=False)
    # Boxes that are no anchors any more.
    torch.nn.init.normal_(predictor.model.proposal_generator.stages[0].predictor.deltas.weight)
    return predictor


@pytest.fixture
def seen(predictor):
    return trace(predictor, IMAGE)


def test_adaptive_taps_span_the_boxes_of_stage_1(seen):
    sampling = adaptive_sampling(seen, CELLS)
    boxes = np.concatenate((sampling.points.min(axis=1), sampling.points.max(axis=1)), axis=1)
    np.testing.assert_allclose(boxes, sampling.boxes)
    before = 24 * 32  # cells of p2
    for cell, box in zip(CELLS, sampling.boxes, strict=True):
        refined = seen.steps[0].refined[0, before + cell.row * 16 + cell.column]
        np.testing.assert_allclose(box, refined.numpy() / 2, rtol=1e-5)


def test_center_only_keeps_the_taps_a_cell_apart(seen):
    align = seen.steps[1].stage.align
    align.center_only = True
    assert isinstance(align, AdaptiveAlignment)
    sampling = adaptive_sampling(seen, CELLS)
    extent = sampling.points.max(axis=1) - sampling.points.min(axis=1)
    np.testing.assert_allclose(extent, 2 * 8 / 2, rtol=1e-5)  # two strides of 8, halved
    middle = (sampling.boxes[:, :2] + sampling.boxes[:, 2:]) / 2
    np.testing.assert_allclose(sampling.points[:, 4], middle, rtol=1e-5)


def test_plain_and_dilated_taps_surround_the_cell(seen):
    plain, dilated = plain_samplings(seen, CELLS)
    assert (plain.name, dilated.name) == ("Plain", "Dilated")
    for cell, points in zip(CELLS, plain.points, strict=True):
        steps = np.array([-1, 0, 1])
        x, y = np.meshgrid((cell.column + steps) * 4, (cell.row + steps) * 4)
        np.testing.assert_allclose(points, np.stack((x, y), axis=-1).reshape(9, 2))
    # Dilation 2 and anchors 4 strides wide: the outer taps are on the edges of the anchor.
    corners = np.concatenate((dilated.points[:, 0], dilated.points[:, -1]), axis=1)
    np.testing.assert_allclose(corners, dilated.boxes)
    np.testing.assert_allclose(plain.boxes, dilated.boxes)


def test_without_dilation_there_is_no_dilated_convolution():
    model = tiny_model("tiny_cascade_rpn", "model.proposal_generator.stages.0.align.dilation=1")
    (only,) = plain_samplings(trace(model.load("cpu", trained=False), IMAGE), CELLS)
    assert only.name == "Plain"


def test_learned_taps_are_those_of_the_offsets():
    predictor = tiny_model("tiny_iterative_rpn").load("cpu", trained=False)
    align = predictor.model.proposal_generator.stages[1].align
    seen = trace(predictor, IMAGE)
    plain = plain_samplings(seen, CELLS)[0]
    # Offsets of zero, which training begins with, read like a plain convolution.
    np.testing.assert_allclose(learned_sampling(seen, CELLS).points, plain.points)
    with torch.no_grad():
        align.offset.bias.copy_(torch.tensor([0.5, -1.0]).repeat(9))  # dy, dx in cells
    moved = learned_sampling(seen, CELLS).points - plain.points
    np.testing.assert_allclose(moved, np.broadcast_to([-4.0, 2.0], moved.shape), atol=1e-5)
    with pytest.raises(ValueError, match="alignment AdaptiveAlignment, only ConvAlignment, Learn"):
        adaptive_sampling(seen, CELLS)


def test_learned_offsets_need_a_model_that_has_them(seen):
    with pytest.raises(ValueError, match="alignment LearnedAlignment, only ConvAlignment, Adapt"):
        learned_sampling(seen, CELLS)


def test_the_best_cell_is_that_of_the_first_proposal(predictor, seen):
    cell = best_cell(seen)
    before = sum(grid.cells for grid in seen.grids[: seen.generator.in_features.index(cell.level)])
    grid = seen.grids[seen.generator.in_features.index(cell.level)]
    box = seen.steps[-1].refined[0, before + cell.row * grid.width + cell.column] / 2
    first = propose_by_stage(predictor, IMAGE)["stage 2"][0]
    torch.testing.assert_close(box, first)


def test_centers_are_those_of_all_cells_of_a_level(seen):
    centers = cell_centers(seen, "p3")
    assert len(centers) == 12 * 16 and centers[0].tolist() == [0, 0]
    assert centers[-1].tolist() == [15 * 4, 11 * 4]
    assert centers_of(seen, CELLS).tolist() == [[20, 12], [44, 24]]


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ([Cell("p9", 0, 0)], "no level 'p9': the model has p2, p3, p4, p5, p6"),
        ([Cell("p3", 12, 0)], "p3,12,0 is outside the map: p3 has 12 rows and 16 columns"),
        ([Cell("p3", 0, 16)], "p3,0,16 is outside"),
        ([Cell("p3", 0, 0), Cell("p2", 0, 0)], "one level, not of p2, p3"),
        ([], "one level, not of none"),
    ],
)
def test_cells_that_do_not_exist(seen, cells, message):
    with pytest.raises(ValueError, match=message):
        adaptive_sampling(seen, cells)


def test_cells_are_written_as_level_row_column():
    assert Cell.parse("p3, 10,12") == Cell("p3", 10, 12)
    assert str(Cell("p3", 10, 12)) == "p3,10,12"
    for text in ("p3,1", "p3,-1,2", "3", "p3,1,2,3", "p3,a,b"):
        with pytest.raises(ValueError, match="level,row,column"):
            Cell.parse(text)
