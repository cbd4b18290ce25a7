"""The files of CPM R-CNN's authors: every tensor at its place, and norms as their test has them."""

from __future__ import annotations

import pytest
import torch
from omegaconf import DictConfig
from torch import nn

from cascade_rpn_d2 import model_zoo
from cascade_rpn_d2.checkpoint import convert_state
from cascade_rpn_d2.checkpoint.worlds import CPM
from cascade_rpn_d2.layers import FixedStatisticsBatchNorm2d
from cascade_rpn_d2.model_zoo import instantiate_model
from tests.checkpoint.foreign_states import (
    Shapes,
    classifier,
    cpm_cascade,
    cpm_stages,
    cpm_trunk,
    grid_head,
    make_state,
    stock_rpn,
    trunk,
)
from tests.checkpoint.models import model_of

ANCHORS = "anchors of a cell, which the config says"


def build(config: DictConfig) -> nn.Module:
    with torch.device("meta"):
        return instantiate_model(config)


def stages(number: int = 3, *, fusion: bool = False, scores: bool = True) -> nn.Module:
    """CPM R-CNN in its authors' coordinates."""
    config = model_zoo.get_config("cpm_rcnn/authors/cpm_rcnn_r50_fpn_2x.py")
    heads = config.model.roi_heads
    heads.grid_stages = heads.grid_stages[:number]
    for stage in heads.grid_stages:
        stage.head.fusion = fusion
    if not scores:
        heads.iou_scoring = heads.resampling_scoring = None
    return build(config)


def cascade(*, scores: bool = True) -> nn.Module:
    """Cascade R-CNN of two stages with the scores, likewise."""
    config = model_zoo.get_config("cpm_rcnn/authors/cascade_rcnn_ism_rsm_r50_fpn_1x.py")
    if not scores:
        config.model.roi_heads.iou_scoring = config.model.roi_heads.resampling_scoring = None
    return build(config)


KINDS = {
    "three stages": (cpm_trunk() + cpm_stages(), stages),
    "two stages": (cpm_trunk() + cpm_stages(2), lambda: stages(2)),
    "no scores": (cpm_trunk() + cpm_stages(1, scores=False), lambda: stages(1, scores=False)),
    "fusion": (cpm_trunk() + cpm_stages(1, fusion=True), lambda: stages(1, fusion=True)),
    "Cascade R-CNN": (cpm_trunk() + cpm_cascade(scores=False), lambda: cascade(scores=False)),
    "Cascade R-CNN with scores": (cpm_trunk() + cpm_cascade(), cascade),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("wrapper", ["", "module."])
def test_every_tensor_of_every_kind_has_its_place(kind, wrapper):
    shapes, make = KINDS[kind]
    state, model = make_state(shapes), make()
    result = convert_state({wrapper + key: value for key, value in state.items()}, model)
    assert result.world is CPM
    assert result.state.keys() == model.state_dict().keys()
    assert result.mapped.keys() | result.dropped.keys() == state.keys()
    assert set(result.dropped.values()) == {ANCHORS} and len(result.dropped) == 5
    made = result.state.keys() - set(result.mapped.values())
    assert {key.rpartition(".")[2] for key in made} == {"running_mean", "running_var"}
    for key, ours in result.mapped.items():
        if ".fuse" not in ours:
            assert (result.state[ours] == state[key].flatten()[0]).all(), key


def test_a_few_names():
    mapped = convert_state(make_state(cpm_trunk() + cpm_stages()), stages()).mapped
    owner, heads = "Grid_Cascade_RCNN", "roi_heads"
    assert {
        "Conv_Body.bn1.bias": "backbone.bottom_up.stem.conv1.norm.bias",
        "Conv_Body.layer3.0.downsample.1.weight": "backbone.bottom_up.res4.0.shortcut.norm.weight",
        # From the coarsest level to the finest.
        "Conv_Body_FPN.p5_in.weight": "backbone.fpn_lateral5.weight",
        "Conv_Body_FPN.fpn_in.0.weight": "backbone.fpn_lateral4.weight",
        "Conv_Body_FPN.fpn_out.2.bias": "backbone.fpn_output2.bias",
        "RPN.head.cls_logits.bias": "proposal_generator.rpn_head.objectness_logits.bias",
        f"{owner}.Head_cls.fc7.weight": f"{heads}.box_head.fc2.weight",
        f"{owner}.Head_grid_1.convs.7.1.bias": f"{heads}.grid_stages.1.head.convs.7.norm.bias",
        f"{owner}.Output_grid_2.deconv_1.bias": f"{heads}.grid_stages.2.head.deconv1.bias",
        f"{owner}.Output_grid_0.norm1.weight": f"{heads}.grid_stages.0.head.norm1.weight",
        f"{owner}.Output_grid_2.iou_fc1.weight": f"{heads}.iou_scoring.fcs.0.weight",
        f"{owner}.Output_grid_2.iou_fc2.bias": f"{heads}.iou_scoring.fcs.1.bias",
        f"{owner}.Output_grid_2.iou_pred.bias": f"{heads}.iou_scoring.iou_pred.bias",
        f"{owner}.Head_rescore.fc6.bias": f"{heads}.resampling_scoring.head.fc1.bias",
        f"{owner}.Output_rescore.cls_score.bias": f"{heads}.resampling_scoring.cls_score.bias",
    }.items() <= mapped.items()
    mapped = convert_state(make_state(cpm_trunk() + cpm_cascade()), cascade()).mapped
    assert {
        "Cascade_RCNN.Box_Head_1.fc6.weight": "roi_heads.box_head.0.fc1.weight",
        "Cascade_RCNN.Output_2.bbox_pred.bias": "roi_heads.box_predictor.1.bbox_pred.bias",
        "Cascade_RCNN.Output_2.iou_fc1.bias": "roi_heads.iou_scoring.fcs.0.bias",
    }.items() <= mapped.items()


def test_deformable_convolutions_have_their_offsets():
    shapes = dict(cpm_trunk(deformable=True))
    target = {
        "backbone.bottom_up.res3.1.conv2_offset.weight": (18, 128, 3, 3),
        "backbone.bottom_up.res3.1.conv2_offset.bias": (18,),
        "backbone.bottom_up.res3.1.conv2.weight": (128, 128, 3, 3),
    }
    kept = {key: shapes[key] for key in shapes if key.startswith("Conv_Body.layer2.1.conv2")}
    result = convert_state(make_state(list(kept.items())), target)
    offset = "Conv_Body.layer2.1.conv2.conv_offset.weight"
    assert result.mapped[offset] == "backbone.bottom_up.res3.1.conv2_offset.weight"
    assert len(result.state) == 3


def small(key: str, rows: int, target: str, kept: int) -> list[float]:
    """What becomes of numbered rows of a bias."""
    state = {f"Cascade_RCNN.{key}": torch.arange(float(rows))}
    return convert_state(state, {target: (kept,)}).state[target].tolist()


def test_the_background_moves_to_the_end_of_scores():
    ours = "roi_heads.box_predictor.0.cls_score.bias"
    assert small("Output_1.cls_score.bias", 4, ours, 4) == [1, 2, 3, 0]
    ours = "roi_heads.resampling_scoring.cls_score.bias"
    assert small("Output_rescore.cls_score.bias", 4, ours, 4) == [1, 2, 3, 0]


@pytest.mark.parametrize("rows", [8, 16])
def test_deltas_lose_those_of_the_background(rows):
    ours = "roi_heads.box_predictor.1.bbox_pred.bias"
    found = small("Output_2.bbox_pred.bias", rows, ours, rows - 4)
    assert found == list(map(float, range(4, rows)))


def test_rows_of_rpn_and_of_scores_of_iou_stay():
    state = {
        "RPN.head.bbox_pred.bias": torch.arange(12.0),
        "RPN.head.cls_logits.bias": torch.arange(3.0),
        "Grid_Cascade_RCNN.Output_grid_2.iou_pred.bias": torch.arange(2.0),
    }
    target = {
        "proposal_generator.rpn_head.anchor_deltas.bias": (12,),
        "proposal_generator.rpn_head.objectness_logits.bias": (3,),
        "roi_heads.iou_scoring.iou_pred.bias": (2,),
    }
    for values in convert_state(state, target).state.values():
        assert values.tolist() == list(map(float, range(len(values))))


def test_merged_norms_do_what_they_do_in_the_authors_test():
    """There, scale and shift are divided by the root of 1 + 1e-5 once more."""
    scale, shift = torch.rand(64) + 0.5, torch.randn(64)
    state = {"Conv_Body.bn1.weight": scale, "Conv_Body.bn1.bias": shift}
    norm = "backbone.bottom_up.stem.conv1.norm"
    target = {f"{norm}.{k}": (64,) for k in ("weight", "bias", "running_mean", "running_var")}
    converted = convert_state(state, target).state
    layer = FixedStatisticsBatchNorm2d(64)
    layer.load_state_dict({key.rpartition(".")[2]: value for key, value in converted.items()})
    x = torch.randn(2, 64, 3, 3)
    expected = x * (scale / (1 + 1e-5) ** 0.5)[:, None, None] + shift[:, None, None]
    torch.testing.assert_close(layer(x), expected)


def test_statistics_of_a_file_are_not_replaced():
    parts = ("weight", "bias", "running_mean", "running_var")
    state = {f"Conv_Body.bn1.{part}": torch.full((64,), i + 2.0) for i, part in enumerate(parts)}
    norm = "backbone.bottom_up.stem.conv1.norm"
    converted = convert_state(state, {f"{norm}.{part}": (64,) for part in parts}).state
    assert [converted[f"{norm}.{part}"][0].item() for part in parts] == [2, 3, 4, 5]


def test_the_test_models_own_norm_is_left_out():
    state = {"Norm.weight": torch.ones(3), "Conv_Body.conv1.weight": torch.ones(64, 3, 7, 7)}
    result = convert_state(state, {"backbone.bottom_up.stem.conv1.weight": (64, 3, 7, 7)})
    assert result.dropped == {"Norm.weight": "pixel mean and deviation, which the config says"}


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("Conv_Body.layer4.2.conv3.weight", "lacks 'backbone.bottom_up.res5.2.conv3.weight', whi"),
        ("Conv_Body.bn1.bias", "lacks 'backbone.bottom_up.stem.conv1.norm.bias', which"),
        ("Grid_Cascade_RCNN.Output_grid_1.deconv_2.bias", "grid_stages.1.head.deconv2.bias', whi"),
        ("Grid_Cascade_RCNN.Output_grid_2.iou_pred.bias", "iou_scoring.iou_pred.bias', which the"),
    ],
)
def test_a_missing_tensor_is_named(key, message):
    state = make_state(cpm_trunk() + cpm_stages())
    del state[key]
    with pytest.raises(ValueError, match=message) as caught:
        convert_state(state, stages())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (cpm_trunk() + cpm_stages(2), "lacks 'roi_heads.grid_stages.2"),
        (cpm_trunk() + cpm_stages(scores=False), "lacks 'roi_heads.iou_scoring"),
        (cpm_trunk() + cpm_stages(fusion=True), r"fuse1.depthwise.weight' here\), which the model"),
        (cpm_trunk() + cpm_cascade(), "'Cascade_RCNN.Box_Head_1.fc6.weight'.*which the model does"),
        (
            [*cpm_trunk(), ("Fast_RCNN.Box_Head.fc6.weight", (1024, 12544))],
            "'Fast_RCNN.Box_Head.fc6.weight', which is no weight of",
        ),
        (
            [*cpm_trunk(), *cpm_stages(), ("Grid_Cascade_RCNN.Output_grid_0.se_helper.bias", (3,))],
            "se_helper.bias', which is no weight of",
        ),
        ([*cpm_trunk(), *grid_head("grid_head")], "beside .*of different codes: save the weights"),
        (trunk() + stock_rpn() + classifier() + grid_head(), "it is of mmdet >= 2, whose boxes ar"),
    ],
)
def test_another_model_is_named(shapes: Shapes, message: str):
    with pytest.raises(ValueError, match=message) as caught:
        convert_state(make_state(shapes), stages())
    assert "\n" not in str(caught.value)


def test_a_model_in_our_coordinates_is_refused():
    state = make_state(cpm_trunk() + cpm_stages())
    with pytest.raises(
        ValueError, match="name their last pixel.*use a config in cpm_rcnn/authors/"
    ):
        convert_state(state, model_of("cpm_rcnn"))
