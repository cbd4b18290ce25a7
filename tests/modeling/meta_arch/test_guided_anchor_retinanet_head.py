"""The head of GA-RetinaNet: its size and start, what its layers read, and its sparse half."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from cascade_rpn_d2.modeling import Grid
from cascade_rpn_d2.modeling.guided_anchors import ActiveCells

GRIDS = [Grid(7, 6, 8), Grid(3, 4, 16), Grid(1, 2, 32)]
CELLS = sum(grid.cells for grid in GRIDS)


def maps() -> list[Tensor]:
    return [torch.randn(2, 8, grid.height, grid.width, dtype=torch.double) for grid in GRIDS]


@pytest.fixture
def head(make_head):
    """With weights so large that eight channels survive them, and shapes that differ."""
    head = make_head().double()
    for parameter in head.parameters():
        if parameter.dim() == 4 and parameter.shape[-1] == 3:
            torch.nn.init.kaiming_normal_(parameter)
    torch.nn.init.normal_(head.shape.weight, std=3.0)
    return head


def test_as_many_parameters_as_the_released_head(make_head):
    assert sum(p.numel() for p in make_head(256, 80).parameters()) == 6_094_967


def test_initial_weights(make_head):
    head = make_head(256, 80)
    stds = {name: p.std().item() for name, p in head.named_parameters() if "weight" in name}
    for tower in ("cls", "box"):
        assert stds.pop(f"{tower}_adaption.offset.weight") == pytest.approx(0.1, rel=0.2)
    assert all(std == pytest.approx(0.01, rel=0.2) for std in stds.values())
    biases = {name: p for name, p in head.named_parameters() if "bias" in name}
    for prior in ("location.bias", "class_logits.bias"):
        torch.testing.assert_close(biases[prior], torch.full_like(biases[prior], -math.log(99)))
        del biases[prior]
    assert all((bias == 0).all() for bias in biases.values())


def test_location_is_read_off_one_tower_and_shape_off_the_other(head):
    inputs = maps()
    towers = head(inputs)
    assert towers.location.shape == (2, CELLS)
    for level, x in enumerate(inputs):
        torch.testing.assert_close(towers.cls_maps[level], head.cls_tower(x))
        torch.testing.assert_close(towers.box_maps[level], head.box_tower(x))
        torch.testing.assert_close(towers.shapes[level], head.shape(head.box_tower(x)))
    finest = head.location(head.cls_tower(inputs[0])).flatten(1)
    torch.testing.assert_close(towers.location[:, : GRIDS[0].cells], finest)


def test_both_adaptions_follow_the_shape(head):
    towers = head(maps())
    shape = towers.shapes[1]
    cls_map = head.cls_adaption(towers.cls_maps[1], shape).relu()
    box_map = head.box_adaption(towers.box_maps[1], shape).relu()
    prediction = head.predict(towers)
    assert prediction.deltas.shape == (2, CELLS, 4) and prediction.logits.shape == (2, CELLS, 3)
    middle = slice(GRIDS[0].cells, GRIDS[0].cells + GRIDS[1].cells)
    logits = head.class_logits(cls_map).flatten(2).transpose(1, 2)
    deltas = head.deltas(box_map).flatten(2).transpose(1, 2)
    torch.testing.assert_close(prediction.logits[:, middle], logits)
    torch.testing.assert_close(prediction.deltas[:, middle], deltas)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
def test_active_cells_alone_are_predicted_as_among_all(head, share):
    """At borders and corners too, and on maps that are smaller than the kernel."""
    active = torch.rand(2, CELLS) < share
    towers = head(maps())
    cells = ActiveCells(active, GRIDS)
    deltas, logits = head.predict_at(towers, cells)
    assert deltas.shape == (active.sum(), 4) and logits.shape == (active.sum(), 3)
    prediction = head.predict(towers)
    torch.testing.assert_close(deltas, prediction.deltas.flatten(0, 1)[cells.index])
    torch.testing.assert_close(logits, prediction.logits.flatten(0, 1)[cells.index])


def test_features_are_adapted_next_to_active_cells_and_nowhere_else(head):
    active = torch.zeros(2, CELLS, dtype=torch.bool)
    active[1, 0] = active[0, 2 * GRIDS[0].width + 3] = True  # a corner; row 2, column 3
    masks = []
    head.cls_adaption.register_forward_hook(lambda _, inputs, __: masks.append(inputs[2]))
    head.predict_at(head(maps()), ActiveCells(active, GRIDS))
    expected = torch.zeros(2, 7, 6, dtype=torch.bool)
    expected[1, :2, :2] = expected[0, 1:4, 2:5] = True
    assert torch.equal(masks[0], expected)
    assert not masks[1].any() and not masks[2].any()
