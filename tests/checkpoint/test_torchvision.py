"""torchvision's ResNets and VGG-16 compute in our detectors what they did."""

from __future__ import annotations

import pytest
import torch
import torchvision
from detectron2.config import LazyConfig, instantiate
from detectron2.layers import ShapeSpec
from torch import nn
from torchvision.models import vgg

from cascade_rpn_d2 import model_zoo
from cascade_rpn_d2.checkpoint import Checkpointer
from cascade_rpn_d2.checkpoint.torchvision import (
    convert_torchvision_resnet,
    convert_torchvision_vgg16,
    is_torchvision_resnet,
    is_torchvision_vgg16,
)
from cascade_rpn_d2.model_zoo import instantiate_model
from cascade_rpn_d2.modeling import VGG16, VGGBoxHead

WIDTHS = [4, 8, 16, 32, 32]
FC_DIMS = [24, 20]


def test_the_small_config_reads_torchvisions_file_as_published(tmp_path):
    resnet = torchvision.models.resnet18().eval()
    for module in resnet.modules():
        if isinstance(module, torch.nn.BatchNorm2d):  # statistics that show when they are lost
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 2)
    torch.save(resnet.state_dict(), tmp_path / "resnet18.pth")
    config = model_zoo.get_config("small/cascade_rpn_r18_fpn_1k.py")
    assert config.train.init_checkpoint.endswith(".pth")  # torchvision's address of such a file
    model = instantiate_model(config).eval()
    Checkpointer(model).load(str(tmp_path / "resnet18.pth"), strict=False)

    image = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        x = resnet.maxpool(resnet.relu(resnet.bn1(resnet.conv1(image))))
        ours = model.backbone.bottom_up(image)
        for name, layer in (("res2", "layer1"), ("res3", "layer2"), ("res4", "layer3")):
            x = getattr(resnet, layer)(x)
            torch.testing.assert_close(ours[name], x, rtol=1e-4, atol=1e-4)


def test_bottlenecks_have_a_name_for_every_layer():
    state = torchvision.models.resnet50().state_dict()
    assert is_torchvision_resnet(state)
    converted = convert_torchvision_resnet(state)
    kept = [k for k in state if not k.startswith("fc.") and "num_batches" not in k]
    assert len(converted) == len(kept)
    assert {"stem.conv1.norm.running_var", "res5.2.conv3.norm.bias", "res4.0.shortcut.weight"} <= (
        converted.keys()
    )
    assert not is_torchvision_resnet(converted)


def test_the_backbone_of_cascade_rcnn_is_torchvisions_in_training_too(tmp_path):
    resnet = torchvision.models.resnet50().eval()
    for module in resnet.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(1, 3)
    config = model_zoo.get_config("cascade_rpn/cascade_rcnn_r50_fpn_1x.py")
    LazyConfig.save(config, str(tmp_path / "config.yaml"))
    config = model_zoo.get_config(tmp_path / "config.yaml")  # as a run has it
    trunk = instantiate(config.model.backbone.bottom_up).train()
    trunk.load_state_dict(convert_torchvision_resnet(resnet.state_dict()), strict=True)

    trained = {name for name, p in trunk.named_parameters() if p.requires_grad}
    assert {name.partition(".")[0] for name in trained} == {"res3", "res4", "res5"}
    assert {"res3.0.conv2.norm.weight", "res5.2.conv3.norm.bias"} <= trained
    image = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        x = resnet.maxpool(resnet.relu(resnet.bn1(resnet.conv1(image))))
        ours = trunk(image)
        for name, layer in (("res2", 1), ("res3", 2), ("res4", 3), ("res5", 4)):
            x = getattr(resnet, f"layer{layer}")(x)
            torch.testing.assert_close(ours[name], x, rtol=1e-4, atol=1e-4)


def narrow_vgg(layers: str = "D", batch_norm: bool = False) -> nn.Module:
    """torchvision's VGG of a depth, narrower by a factor of 16."""
    widths = [each if each == "M" else each // 16 for each in vgg.cfgs[layers]]
    with torch.device("meta"):  # its layers of 4096 would take seconds to make
        model = vgg.VGG(nn.Identity(), init_weights=False)
    model.features = vgg.make_layers(widths, batch_norm=batch_norm)
    model.classifier[0] = nn.Linear(32 * 7 * 7, FC_DIMS[0])
    model.classifier[3] = nn.Linear(*FC_DIMS)
    model.classifier[6] = nn.Linear(FC_DIMS[1], 10)
    return model.eval()


def narrow_faster_rcnn(fc_dims: list[int] = FC_DIMS) -> nn.Module:
    config = model_zoo.get_config("faster_rcnn/faster_rcnn_vgg16.py")
    assert config.train.init_checkpoint.endswith("vgg16-397923af.pth")
    config.model.backbone.widths = WIDTHS
    config.model.roi_heads.box_head.fc_dims = fc_dims
    return instantiate_model(config).eval()


@torch.no_grad()
def test_faster_rcnn_reads_torchvisions_vgg16_as_published(tmp_path):
    published = narrow_vgg()
    torch.save(published.state_dict(), tmp_path / "vgg16.pth")
    model = narrow_faster_rcnn()
    Checkpointer(model).load(str(tmp_path / "vgg16.pth"), strict=False)

    image = torch.randn(2, 3, 64, 100)
    torch.testing.assert_close(model.backbone(image)["conv5"], published.features[:-1](image))
    pooled = torch.randn(3, 32, 7, 7)
    ours = model.roi_heads.box_head(pooled)
    torch.testing.assert_close(ours, published.classifier[:6](pooled.flatten(1)))


def test_every_layer_of_vgg16_but_the_last_has_a_name_and_its_shape():
    with torch.device("meta"):
        published = torchvision.models.vgg16().state_dict()
        backbone = VGG16()
        head = VGGBoxHead(ShapeSpec(channels=512, height=7, width=7))
    # One value for all: no memory of their own.
    published = {name: torch.zeros(()).expand(value.shape) for name, value in published.items()}
    expected = dict(backbone.state_dict())
    expected |= {f"box_head.{name}": value for name, value in head.state_dict().items()}
    converted = convert_torchvision_vgg16(published)
    assert {k: v.shape for k, v in converted.items()} == {k: v.shape for k, v in expected.items()}
    assert is_torchvision_vgg16(published) and not is_torchvision_vgg16(converted)


def test_vgg16_is_found_beneath_a_feature_pyramid_too(tmp_path):
    published = narrow_vgg()
    torch.save(published.state_dict(), tmp_path / "vgg16.pth")
    model = nn.ModuleDict({"bottom_up": VGG16(widths=WIDTHS, out_features=["conv3", "conv4"])})
    Checkpointer(model).load(str(tmp_path / "vgg16.pth"), strict=False)
    last = model["bottom_up"].conv4.conv4_3
    torch.testing.assert_close(last.weight, published.features[21].weight)


@pytest.mark.parametrize("why", ["without values", "of another width"])
def test_a_classifier_that_cannot_be_used_leaves_the_head_as_it_is(tmp_path, why):
    published = narrow_vgg()
    if why == "without values":  # those of IMAGENET1K_FEATURES are said to be missing
        for layer in (published.classifier[0], published.classifier[3]):
            nn.init.constant_(layer.weight, torch.nan)
    torch.save(published.state_dict(), tmp_path / "vgg16.pth")
    model = narrow_faster_rcnn(FC_DIMS if why == "without values" else [16, 16])
    before = {k: v.clone() for k, v in model.roi_heads.state_dict().items()}
    Checkpointer(model).load(str(tmp_path / "vgg16.pth"), strict=False)
    assert all(torch.equal(v, before[k]) for k, v in model.roi_heads.state_dict().items())
    torch.testing.assert_close(model.backbone.conv5.conv5_3.weight, published.features[28].weight)


@pytest.mark.parametrize(("layers", "batch_norm"), [("A", False), ("D", True), ("E", False)])
def test_another_vgg_is_refused(tmp_path, layers, batch_norm):
    torch.save(narrow_vgg(layers, batch_norm).state_dict(), tmp_path / "vgg.pth")
    with pytest.raises(ValueError, match="vgg.pth is a VGG .* not VGG-16 without norms: give"):
        Checkpointer(nn.Linear(1, 1)).load(str(tmp_path / "vgg.pth"), strict=False)
