"""Other trunks under the same FPN: what a checkpoint of theirs computes, and what an experiment
becomes with them."""

from __future__ import annotations

import pytest
import torch
import torchvision
from detectron2.config import LazyConfig, instantiate
from omegaconf import DictConfig
from torch import nn

from cascade_rpn_d2 import model_zoo
from cascade_rpn_d2.checkpoint.torchvision import (
    convert_torchvision_resnet,
    is_torchvision_resnet,
)
from cascade_rpn_d2.config import use_trunk
from cascade_rpn_d2.config.files import configs_dir
from cascade_rpn_d2.layers import FixedStatisticsBatchNorm2d

TRUNKS = ["resnet101", "resnet152", "resnext101_32x4d", "resnext101_64x4d"]


def load_trunk(name: str) -> DictConfig:
    return LazyConfig.load(str(configs_dir() / "common" / "trunks" / f"{name}.py"), "trunk")


def torchvision_resnext(num_blocks: list[int], groups: int) -> nn.Module:
    bottleneck = torchvision.models.resnet.Bottleneck
    model = torchvision.models.ResNet(bottleneck, num_blocks, groups=groups, width_per_group=4)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):  # statistics that show when they are lost
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(1, 3)
    return model.eval()


@pytest.mark.parametrize("groups", [32, 64])
def test_resnext_computes_what_torchvisions_does(groups: int):
    bottom_up = load_trunk(f"resnext101_{groups}x4d").bottom_up
    assert [stage.num_blocks for stage in bottom_up.stages] == [3, 4, 23, 3]
    bottom_up.stages[2].num_blocks, bottom_up.stages[2].stride_per_block = 2, [2, 1]  # sooner done
    theirs = torchvision_resnext([3, 4, 2, 3], groups)
    state = theirs.state_dict()
    assert is_torchvision_resnet(state)
    ours = instantiate(bottom_up).train()
    ours.load_state_dict(convert_torchvision_resnet(state), strict=True)

    image = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        x = theirs.maxpool(theirs.relu(theirs.bn1(theirs.conv1(image))))
        maps = ours(image)
        for name, layer in (("res2", 1), ("res3", 2), ("res4", 3), ("res5", 4)):
            x = getattr(theirs, f"layer{layer}")(x)
            torch.testing.assert_close(maps[name], x, rtol=1e-4, atol=1e-4)
    # Scales and shifts are trained, but for the stem and res2.
    assert not any(p.requires_grad for p in [*ours.stem.parameters(), *ours.res2.parameters()])
    assert all(p.requires_grad for p in ours.res3.parameters())
    assert isinstance(ours.res5[2].conv3.norm, FixedStatisticsBatchNorm2d)


def test_resnet152_has_the_weights_of_torchvisions():
    with torch.device("meta"):  # names and shapes only
        state = convert_torchvision_resnet(torchvision.models.resnet152().state_dict())
        ours = instantiate(load_trunk("resnet152").bottom_up).state_dict()
    assert {k: v.shape for k, v in ours.items()} == {k: v.shape for k, v in state.items()}


@pytest.mark.parametrize("name", TRUNKS)
def test_an_experiment_on_another_trunk(name: str):
    config = model_zoo.get_config("guided_anchoring/rpn_r50_fpn_1x.py")
    trunk = load_trunk(name)
    config.model.backbone.bottom_up.out_features = ["res3", "res4", "res5"]  # as in RetinaNet
    use_trunk(trunk, config.model, config.dataloader, config.train)
    assert config.train.init_checkpoint == trunk.init_checkpoint != ""
    # The order of the channels is that of the mean, largest in red.
    rgb = config.model.pixel_mean[0] > config.model.pixel_mean[2]
    for part in ("train", "test"):
        assert config.dataloader[part].mapper.image_format == ("RGB" if rgb else "BGR")
    with torch.device("meta"):
        backbone = instantiate(config.model.backbone)
    assert list(backbone.output_shape()) == ["p3", "p4", "p5", "p6"]
    assert list(backbone.bottom_up.output_shape()) == ["res3", "res4", "res5"]
    assert len(backbone.bottom_up.res4) == (36 if "152" in name else 23)


def test_a_trunk_can_be_used_again():
    trunk = load_trunk("resnet101")
    first, second = (model_zoo.get_config("guided_anchoring/rpn_r50_fpn_1x.py") for _ in range(2))
    for config in (first, second):
        use_trunk(trunk, config.model, config.dataloader, config.train)
    first.model.backbone.bottom_up.freeze_at = 0
    assert second.model.backbone.bottom_up.freeze_at == trunk.bottom_up.freeze_at == 2
