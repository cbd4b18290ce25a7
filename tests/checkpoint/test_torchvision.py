"""torchvision's ResNets in Detectron2's form compute what they did."""

from __future__ import annotations

import torch
import torchvision
from detectron2.config import LazyConfig, instantiate

from cascade_rpn_d2 import model_zoo
from cascade_rpn_d2.checkpoint import Checkpointer
from cascade_rpn_d2.checkpoint.torchvision import (
    convert_torchvision_resnet,
    is_torchvision_resnet,
)
from cascade_rpn_d2.model_zoo import instantiate_model


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
