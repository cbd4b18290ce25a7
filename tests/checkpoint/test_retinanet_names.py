"""The anchors of a cell come into Detectron2's order, each with its own scores and deltas."""

from __future__ import annotations

import pytest
import torch
from detectron2.config import instantiate

from cascade_rpn_d2.checkpoint import convert_state
from cascade_rpn_d2.checkpoint.retinanet_names import sizes_first
from cascade_rpn_d2.model_zoo import get_config
from tests.checkpoint.foreign_states import make_state, retinanet
from tests.checkpoint.models import model_of

RATIOS, SIZES = (0.5, 1.0, 2.0), (1.0, 2 ** (1 / 3), 2 ** (2 / 3))


@pytest.mark.parametrize("rows", [4, 80])
@pytest.mark.parametrize("kind", ["cls", "reg"])
def test_every_anchor_keeps_its_rows(kind, rows):
    """Weights that say which anchor they are of, against the anchors of the model."""
    theirs = [(ratio, size) for ratio in RATIOS for size in SIZES]  # (height / width, scale)
    heights = torch.tensor([32 * size * ratio**0.5 for ratio, size in theirs])
    weight = heights.repeat_interleave(rows)[:, None, None, None].expand(-1, 2, 3, 3)
    ours = sizes_first(f"bbox_head.retina_{kind}.weight", weight, 9)
    assert ours.shape == weight.shape

    config = get_config("guided_anchoring/retinanet_r50_fpn_1x.py")
    boxes = next(iter(instantiate(config.model.anchor_generator).cell_anchors))
    expected = (boxes[:, 3] - boxes[:, 1]).repeat_interleave(rows)
    torch.testing.assert_close(ours[:, 0, 0, 0], expected)


def test_rows_of_an_anchor_stay_in_their_order():
    bias = torch.arange(36)
    assert sizes_first("bbox_head.retina_reg.bias", bias, 9)[4:8].tolist() == [12, 13, 14, 15]


def test_nothing_else_is_reordered():
    assert sizes_first("bbox_head.reg_convs.0.conv.bias", bias := torch.arange(36), 9) is bias
    state = make_state(retinanet(guided=True))
    state["bbox_head.retina_reg.bias"] = torch.arange(4.0)
    converted = convert_state(state, model_of("ga_retinanet")).state
    assert converted["head.deltas.bias"].tolist() == [0, 1, 2, 3]


def test_another_number_of_anchors_is_refused():
    state = make_state(retinanet(guided=False))
    state["bbox_head.retina_reg.weight"] = torch.zeros(12, 256, 3, 3)
    with pytest.raises(ValueError, match="it has 3 anchors a cell, whose order"):
        convert_state(state, model_of("retinanet"))


def test_a_few_names():
    mapped = convert_state(make_state(retinanet(guided=False)), model_of("retinanet")).mapped
    assert {
        "neck.lateral_convs.0.conv.bias": "backbone.fpn_lateral3.bias",
        "neck.fpn_convs.2.conv.weight": "backbone.fpn_output5.weight",
        "neck.fpn_convs.3.conv.weight": "backbone.top_block.p6.weight",
        "neck.fpn_convs.4.conv.weight": "backbone.top_block.p7.weight",
        "bbox_head.cls_convs.1.conv.bias": "head.cls_subnet.2.bias",
        "bbox_head.reg_convs.3.conv.bias": "head.bbox_subnet.6.bias",
    }.items() <= mapped.items()
    mapped = convert_state(make_state(retinanet(guided=True)), model_of("ga_retinanet")).mapped
    assert {
        "bbox_head.cls_convs.1.conv.bias": "head.cls_tower.2.bias",
        "bbox_head.feature_adaption_reg.conv_adaption.weight": "head.box_adaption.conv.weight",
        "bbox_head.retina_cls.weight": "head.class_logits.weight",
    }.items() <= mapped.items()
