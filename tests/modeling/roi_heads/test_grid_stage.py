"""What a stage learns and makes of boxes."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from cascade_rpn_d2.layers import decode_grid_boxes, encode_grid_points
from cascade_rpn_d2.modeling import GridStage
from cascade_rpn_d2.modeling.roi_heads import GridPrediction
from cascade_rpn_d2.modeling.roi_heads.grid_stage import mean_of_active
from tests.modeling.roi_heads.toy_heads import OBJECTS, PointingHead, around, grid_head

OBJECT = OBJECTS.gt_boxes.tensor[:1].expand(6, 4)
ALL = torch.ones(6, dtype=torch.bool)


def prediction(fusion: bool = False, count: int = 6) -> GridPrediction:
    logits = torch.randn(count, 9, 28, 28, requires_grad=True)
    unfused = torch.randn(count, 9, 28, 28, requires_grad=True) if fusion else None
    return GridPrediction(logits, unfused, torch.zeros(count, 1))


@pytest.mark.parametrize("fusion", [False, True])
@pytest.mark.parametrize("ratio", [2.0, 1.25])
def test_loss_is_the_mean_over_all_cells(fusion, ratio):
    stage = GridStage(PointingHead(), mapping_ratio=ratio, loss_weight=7.5)
    boxes = around(OBJECT[:1], 6)
    seen = prediction(fusion)
    targets = encode_grid_points(boxes, OBJECT, mapping_ratio=ratio)
    maps = [seen.logits, seen.unfused_logits] if fusion else [seen.logits]
    expected = 7.5 * sum(F.binary_cross_entropy_with_logits(x, targets) for x in maps)
    found = stage.loss(seen, boxes, OBJECT, ALL)
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)


def test_only_active_boxes_are_learnt_from():
    stage = GridStage(PointingHead())
    boxes = around(OBJECT[:1], 6)
    seen = prediction()
    active = torch.tensor([True, False, True, False, False, True])
    loss = stage.loss(seen, boxes, OBJECT, active)
    part = GridPrediction(seen.logits[active], None, seen.features[active])
    expected = stage.loss(part, boxes[active], OBJECT[active], ALL[:3])
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    (grad,) = torch.autograd.grad(loss, seen.logits)
    assert (grad.flatten(1).abs().sum(dim=1) > 0).tolist() == active.tolist()


@pytest.mark.parametrize("count, active", [(0, ALL[:0]), (6, ~ALL)])
def test_nothing_to_learn_from(count, active):
    stage = GridStage(grid_head(fusion=True).train())
    seen = stage(torch.randn(count, 4, 4, 4))
    loss = stage.loss(seen, OBJECT[:count], OBJECT[:count], active)
    assert loss.item() == 0
    loss.backward()
    assert all((p.grad == 0).all() for p in stage.parameters())


def test_values_that_are_no_numbers_do_not_leak_out_of_inactive_boxes():
    values = torch.tensor([1.0, torch.nan, 3], requires_grad=True)
    mean = mean_of_active(values, torch.tensor([True, False, True]))
    assert mean.item() == 2
    mean.backward()
    assert values.grad.tolist() == [0.5, 0, 0.5]


def test_boxes_are_read_in_the_region_of_the_stage():
    boxes = around(OBJECT[:1], 6)
    for ratio in (2.0, 1.5):
        stage = GridStage(PointingHead(14), mapping_ratio=ratio)
        seen = stage(torch.zeros(6, 4, 4, 4))
        found = stage.refine(seen, boxes)
        assert torch.equal(found, decode_grid_boxes(seen.logits, boxes, mapping_ratio=ratio))
        assert not found.requires_grad
        # Cells 14 and 41 of 56: half the region, less one cell.
        size = (boxes[:, 2:] - boxes[:, :2]) * ratio * 27 / 56
        assert torch.allclose(found[:, 2:] - found[:, :2], size, atol=1e-2)


def test_the_loss_is_float32_inside_autocast():
    stage = GridStage(grid_head())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        seen = stage(torch.randn(6, 4, 4, 4))
        assert seen.logits.dtype == torch.bfloat16
        loss = stage.loss(seen, OBJECT + 0.25, OBJECT, ALL)
        boxes = stage.refine(seen, OBJECT)
    assert loss.dtype == torch.float32 and boxes.dtype == torch.float32
    loss.backward()


def test_how_targets_are_made_and_maps_are_read_is_the_stage_s_own():
    boxes = around(OBJECT[:1], 6)
    seen = prediction()
    for how in ({"radius": 2}, {"min_region_size": 55.0}):
        targets = encode_grid_points(boxes, OBJECT, **how)
        assert not torch.equal(targets, encode_grid_points(boxes, OBJECT))
        expected = F.binary_cross_entropy_with_logits(seen.logits, targets)
        loss = GridStage(PointingHead(), loss_weight=1.0, **how).loss(seen, boxes, OBJECT, ALL)
        assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    certain = GridPrediction(40 + seen.logits.detach().abs(), None, seen.features)
    found = [GridStage(PointingHead(), by_probability=x).refine(certain, boxes) for x in (0, 1)]
    expected = [decode_grid_boxes(certain.logits, boxes, by_probability=x) for x in (0, 1)]
    assert torch.equal(torch.stack(found), torch.stack(expected))
    assert not torch.equal(*found)


def test_a_ratio_in_the_units_of_the_released_code_is_refused():
    with pytest.raises(ValueError, match="1 or more, not 0.5; .* is 1.5 here"):
        GridStage(PointingHead(), mapping_ratio=0.5)
