"""A deformable backbone, its operator ours, against the same one with torchvision's operator.

Shape shorthand: ``N`` images, ``C`` channels, ``G`` groups of offsets, ``H, W`` and ``Ho, Wo`` the
maps before and after a convolution.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
import torchvision
from detectron2.config import instantiate
from omegaconf import DictConfig
from torch import Tensor, nn

from .. import layers, model_zoo
from ..modeling import DeformBottleneckBlock
from .case import Case
from .end_to_end import settle_norms
from .inputs import to_case
from .op import why_not
from .row import Row, missing_row, timed_row
from .timing import Budget, Part, time_pairs

MODE = "backbone"
BACKBONE = "cpm_rcnn/cpm_rcnn_x101_64x4d_dcn_fpn_2x.py"
TORCHVISION = "torchvision's deform_conv2d"
CONV = "F.conv2d"
# Standard deviation of an offset in cells. New weights move no tap.
OFFSET_STD = 2.0


@dataclass(frozen=True)
class Layer:
    """A deformable convolution and what it is called with in the backbone.

    Attributes:
        stage: whose last one it is, such as ``"res4"``.
        weight: (O, C / groups, Kh, Kw).
        geometry: stride, padding and dilation.
        groups: of the weight.
        x: (N, C, H, W).
        offset: (N, 2*G*Kh*Kw, Ho, Wo) in cells, of the dtype of x: torchvision takes no other.
    """

    stage: str
    weight: Tensor
    geometry: dict[str, Any]
    groups: int
    x: Tensor
    offset: Tensor

    @property
    def name(self) -> str:
        height, width = self.weight.shape[-2:]
        return f"{self.stage}, {height}x{width} of {self.x.shape[1]} channels in {self.groups}"


Convolution = Callable[[Layer], Tensor]


def deformable(layer: Layer) -> Tensor:
    """Our operator."""
    return layers.deform_conv2d(layer.x, layer.offset, layer.weight, **layer.geometry)


def torchvisions(layer: Layer) -> Tensor:
    """torchvision's operator."""
    return torchvision.ops.deform_conv2d(layer.x, layer.offset, layer.weight, **layer.geometry)


def ordinary(layer: Layer) -> Tensor:
    """torch's convolution, in the same groups, which moves no tap."""
    return F.conv2d(layer.x, layer.weight, groups=layer.groups, **layer.geometry)


REFERENCES: dict[str, Convolution] = {TORCHVISION: torchvisions, CONV: ordinary}


def backbone_rows(case: Case, budget: Budget, backbone: str = BACKBONE) -> Iterator[Row]:
    """Times the last deformable convolution of every stage, and the backbone as a whole.

    Args:
        case: on what; boxes make no difference.
        budget: how often.
        backbone: config of a model with deformable blocks in its ``backbone.bottom_up``.

    Yields:
        For every stage a row a pass and reference; then, for every pass, that of the backbone.
    """
    case = replace(case, boxes=None)
    ours, images = build_backbone(backbone, case)
    for layer in last_layers(ours, images, case):
        for name, make_part in {"forward": forward_part, "forward+backward": backward_part}.items():
            for reference, convolution in REFERENCES.items():
                yield _row(
                    f"{layer.name} groups, {name} / {reference}",
                    make_part(deformable, layer),
                    make_part(convolution, layer),
                    case,
                    budget,
                )
    theirs = with_torchvision(ours)
    for name, make in {"forward": Forward, "forward+backward": TrainStep}.items():
        yield _row(
            f"backbone, {name} / with {TORCHVISION}",
            make(ours, images, case),
            make(theirs, images, case),
            case,
            budget,
        )


def _row(quantity: str, part: Part, reference: Part, case: Case, budget: Budget) -> Row:
    reason = why_not(reference)
    if reason is not None:
        return missing_row(MODE, quantity, case, reason)
    times = time_pairs([part], [reference], device=case.torch_device, budget=budget)
    return timed_row(MODE, quantity, case, times.total())


def check_backbone(name: str) -> None:
    """Finds a config that this mode cannot measure.

    Raises:
        ValueError: if there is no such config, or its backbone has no deformable blocks without
            modulation.
    """
    with torch.device("meta"):  # shapes alone
        _instantiate(model_zoo.get_config(name), name)


def build_backbone(name: str, case: Case) -> tuple[nn.Module, Tensor]:
    """The ``backbone.bottom_up`` of a config, and images (N, 3, H, W) of standard normal numbers.

    Its random weights are the same for the same config. Norms have the statistics of these images,
    so that maps are as large as trained ones, and taps are moved by :data:`OFFSET_STD`.

    Raises:
        ValueError: as :func:`check_backbone`.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        backbone = _instantiate(model_zoo.get_config(name), name)
        for block in deformable_blocks(backbone).values():
            # Maps after a normalisation and a ReLU have the mean square 1/2.
            fan_in = block.conv2_offset.weight[0].numel()
            nn.init.normal_(block.conv2_offset.weight, std=OFFSET_STD * (2 / fan_in) ** 0.5)
    backbone = backbone.to(case.torch_device).to(memory_format=case.memory_format).eval()
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(case.batch, 3, *case.image_size, generator=generator)
    images = images.to(case.torch_device).contiguous(memory_format=case.memory_format)
    settle_norms(backbone, Forward(backbone, images, case))
    return backbone, images


def _instantiate(config: DictConfig, name: str) -> nn.Module:
    bottom_up = config.model.backbone.get("bottom_up")
    backbone = None if bottom_up is None else instantiate(bottom_up)
    if backbone is None or not deformable_blocks(backbone):
        raise ValueError(f"{name} has no backbone with deformable blocks to measure.")
    return backbone


def deformable_blocks(backbone: nn.Module) -> dict[str, DeformBottleneckBlock]:
    """Its blocks by name whose operator is ours: those without modulation."""
    return {
        name: module
        for name, module in backbone.named_modules()
        if isinstance(module, DeformBottleneckBlock) and not module.deform_modulated
    }


def last_layers(backbone: nn.Module, images: Tensor, case: Case) -> list[Layer]:
    """The last deformable convolution of every stage, on the maps that it has in the backbone."""
    last = {
        name.partition(".")[0]: block.conv2 for name, block in deformable_blocks(backbone).items()
    }
    found = []
    hooks = [
        conv.register_forward_pre_hook(
            lambda conv, inputs, stage=stage: found.append(_layer(stage, conv, *inputs, case=case))
        )
        for stage, conv in last.items()
    ]
    try:
        Forward(backbone, images, case)()
    finally:
        for hook in hooks:
            hook.remove()
    return found


def _layer(stage: str, conv: Any, x: Tensor, offset: Tensor, *, case: Case) -> Layer:
    geometry = dict(stride=conv.stride, padding=conv.padding, dilation=conv.dilation)
    weight, x, offset = (to_case(t.detach(), case).clone() for t in (conv.weight, x, offset))
    for leaf in (weight, x, offset):
        leaf.requires_grad_()
    return Layer(stage, weight, geometry, conv.groups, x, offset)


def forward_part(convolution: Convolution, layer: Layer) -> Part:
    """A convolution without gradients."""

    def run() -> Tensor:
        with torch.no_grad():
            return convolution(layer)

    return run


def backward_part(convolution: Convolution, layer: Layer) -> Part:
    """A convolution and the gradients of its map, its weight and, where it has any, offsets."""
    with torch.no_grad():
        gradient = torch.randn_like(ordinary(layer))

    def run() -> tuple[Tensor | None, ...]:
        leaves = (layer.x, layer.weight, layer.offset)
        return torch.autograd.grad(convolution(layer), leaves, gradient, allow_unused=True)

    return run


class TorchvisionConv(nn.Module):
    """A deformable convolution of ours with its weight and norm, by torchvision's operator."""

    def __init__(self, conv: Any):
        super().__init__()
        self.conv = conv

    def forward(self, x: Tensor, offset: Tensor) -> Tensor:
        conv = self.conv
        x = torchvision.ops.deform_conv2d(
            x,
            offset,
            conv.weight,
            stride=conv.stride,
            padding=conv.padding,
            dilation=conv.dilation,
        )
        return x if conv.norm is None else conv.norm(x)


def with_torchvision(backbone: nn.Module) -> nn.Module:
    """A copy of a backbone whose deformable convolutions are computed by torchvision."""
    backbone = copy.deepcopy(backbone)
    for block in deformable_blocks(backbone).values():
        block.add_module("conv2", TorchvisionConv(block.conv2))  # in its place
    return backbone


class Forward:
    """From images (N, 3, H, W) to the maps of a backbone, without gradients."""

    def __init__(self, backbone: nn.Module, images: Tensor, case: Case):
        self.backbone = backbone
        self.images = images
        self.case = case

    def __call__(self) -> dict[str, Tensor]:
        with torch.no_grad(), self.case.autocast():
            return self.backbone(self.images)


class TrainStep(Forward):
    """Likewise, and the gradients of all weights that the config trains; norms are as at test."""

    def __call__(self) -> dict[str, Tensor]:
        for parameter in self.backbone.parameters():
            parameter.grad = None
        with self.case.autocast():
            maps = self.backbone(self.images)
        torch.stack([x.float().mean() for x in maps.values()]).sum().backward()
        return maps
