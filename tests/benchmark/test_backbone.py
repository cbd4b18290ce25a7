"""The rows of a deformable backbone, on a tiny one."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from cascade_rpn_d2.benchmark import backbone, markdown
from cascade_rpn_d2.benchmark.backbone import (
    BACKBONE,
    OFFSET_STD,
    REFERENCES,
    Forward,
    TrainStep,
    backbone_rows,
    backward_part,
    build_backbone,
    check_backbone,
    deformable,
    deformable_blocks,
    last_layers,
    ordinary,
    torchvisions,
    with_torchvision,
)
from tests.benchmark.cases import ONE_PAIR, TINY

CASE = replace(TINY, boxes=None)


@pytest.fixture(scope="module")
def name(repository) -> str:
    return str(repository / "tests/tiny_configs/tiny_deform_resnet.py")


@pytest.fixture
def built(name):
    return build_backbone(name, CASE)


def test_rows_are_those_of_every_stage_and_then_of_the_backbone(name):
    rows = list(backbone_rows(TINY, ONE_PAIR, name))
    assert [row.quantity for row in rows] == [
        *(
            f"{stage}, 3x3 of 8 channels in 4 groups, {what} / {reference}"
            for stage in ("res3", "res4")
            for what in ("forward", "forward+backward")
            for reference in ("torchvision's deform_conv2d", "F.conv2d")
        ),
        "backbone, forward / with torchvision's deform_conv2d",
        "backbone, forward+backward / with torchvision's deform_conv2d",
    ]
    assert all(row.ratio > 0 and row.case == CASE and row.mode == "backbone" for row in rows)
    assert "## Deformable backbone" in markdown({}, rows)


def test_stages_are_measured_on_their_last_convolution_and_its_maps(built):
    layers = last_layers(*built, CASE)
    assert [layer.stage for layer in layers] == ["res3", "res4"]
    for layer, size in zip(layers, [(4, 6), (2, 3)], strict=True):
        assert layer.x.shape == (1, 8, *size) and layer.offset.shape == (1, 18, *size)
        assert layer.weight.shape == (8, 2, 3, 3) and layer.groups == 4
        assert layer.geometry["stride"] == (1, 1)
    assert not any(m._forward_pre_hooks for m in built[0].modules())


def test_taps_are_moved_as_far_as_said(name):
    case = replace(CASE, image_size=(256, 256))
    for layer in last_layers(*build_backbone(name, case), case):
        spread = layer.offset.square().mean().sqrt().item()
        assert spread == pytest.approx(OFFSET_STD, rel=0.5)


@pytest.mark.parametrize("layout", ["contiguous", "channels-last"])
def test_ours_and_torchvisions_do_the_same_work(name, layout):
    case = replace(CASE, layout=layout, batch=2)
    ours, images = build_backbone(name, case)
    assert images.is_contiguous(memory_format=case.memory_format)
    for layer in last_layers(ours, images, case):
        assert layer.x.is_contiguous(memory_format=case.memory_format)
        gradients = [backward_part(f, layer)() for f in (deformable, torchvisions)]
        torch.testing.assert_close(deformable(layer), torchvisions(layer), atol=1e-4, rtol=1e-4)
        assert ordinary(layer).shape == deformable(layer).shape
        assert len(gradients[0]) == 3 and all(x is not None for x in gradients[0])
    theirs = with_torchvision(ours)
    assert len(deformable_blocks(ours)) == 4
    maps = [Forward(model, images, case)() for model in (ours, theirs)]
    assert list(maps[0]) == ["res2", "res3", "res4"]
    for key, value in maps[0].items():
        torch.testing.assert_close(value, maps[1][key], atol=1e-3, rtol=1e-3)
        assert not value.requires_grad and 0.1 < value.std() < 10


def test_a_step_leaves_the_gradients_of_all_that_is_trained(built):
    ours, images = built
    theirs = with_torchvision(ours)
    # In float64: in float32 a value near 0 may fall on the other side of a ReLU, with its gradient.
    for model in (ours, theirs):
        step = TrainStep(model.double(), images.double(), CASE)
        step()
        step()  # not added up
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert (a.grad is not None) == a.requires_grad
        if a.grad is not None:
            torch.testing.assert_close(a.grad, b.grad, atol=1e-6, rtol=1e-6)


def test_a_precision_that_torchvision_lacks_is_a_row_with_its_reason(name):
    rows = list(backbone_rows(replace(CASE, dtype="bfloat16"), ONE_PAIR, name))
    missing = [row for row in rows if row.ratio is None]
    assert {row.quantity.rpartition("/")[2] for row in missing} == {
        " torchvision's deform_conv2d",
        " with torchvision's deform_conv2d",
    }
    assert all("not implemented for 'BFloat16'" in row.not_measured for row in missing)
    assert len(rows) == 10 and len(missing) == 6 and set(REFERENCES) == {
        "torchvision's deform_conv2d", "F.conv2d",
    }  # fmt: skip


def test_weights_are_the_same_every_time(name):
    first, second = (build_backbone(name, CASE)[0] for _ in range(2))
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)


def test_the_default_is_the_backbone_of_cpm_rcnns_best_rows():
    check_backbone(BACKBONE)
    with torch.device("meta"):
        model = backbone._instantiate(backbone.model_zoo.get_config(BACKBONE), BACKBONE)
    stages = {name.partition(".")[0] for name in deformable_blocks(model)}
    assert stages == {"res3", "res4", "res5"} and len(deformable_blocks(model)) == 30


@pytest.mark.parametrize(
    "name",
    ["demo/rpn.py", "cpm_rcnn/cpm_rcnn_x101_64x4d_fpn_2x.py", "faster_rcnn/faster_rcnn_vgg16"],
)
def test_a_backbone_without_deformable_blocks_is_refused(name):
    with pytest.raises(ValueError, match="has no backbone with deformable blocks"):
        check_backbone(name)
