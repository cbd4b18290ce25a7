"""Proposal heads on random maps: what goes into them, and weights that act like trained ones.

Shape shorthand: ``N`` images, ``C`` channels, ``Hi, Wi`` cells of level i.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.nn.functional as F
from detectron2.structures import Boxes, ImageList, Instances
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn

from .. import model_zoo
from ..modeling import CascadeRPN, GuidedAnchorRPN, Stage
from .case import Case
from .inputs import BOX_CELLS, BOX_SIGMA, random_maps, to_case

CASCADE_RPN = "cascade_rpn/cascade_rpn_r50_fpn_1x.py"
RPN = "cascade_rpn/rpn_r50_fpn_1x.py"

# Standard deviations of what a trained first stage predicts, (dx, dy) in sides of an anchor and
# (dw, dh): the boxes of inputs.random_boxes, whose centres are even over a cell.
JITTER = (12**-0.5 / BOX_CELLS, 12**-0.5 / BOX_CELLS, BOX_SIGMA, BOX_SIGMA)
# Standard deviation of the logits of a location branch, which are not to be equal in low precision.
LOCATION_SIGMA = 2.0


@dataclass(frozen=True)
class HeadInputs:
    """What a proposal head takes.

    Attributes:
        images: N images of the case's size. A head reads their sizes only.
        features: a map (N, C, Hi, Wi) by name, finest first.
        weight: (C, C, 3, 3) of the convolution that heads are measured in.
    """

    images: ImageList
    features: dict[str, Tensor]
    weight: Tensor


def head_inputs(case: Case, channels: int, names: Sequence[str]) -> HeadInputs:
    """Random maps for the levels of ``names``, the same for the same case."""
    generator = torch.Generator().manual_seed(0)
    weight = (channels * 9) ** -0.5 * torch.randn(channels, channels, 3, 3, generator=generator)
    maps = random_maps(case, channels, generator)
    pixels = torch.zeros(1, device=case.torch_device).expand(case.batch, 3, *case.image_size)
    return HeadInputs(
        ImageList(pixels, [case.image_size] * case.batch),
        dict(zip(names, maps, strict=True)),
        to_case(weight, case),
    )


@torch.no_grad()
def pyramid_convolution(inputs: HeadInputs) -> list[Tensor]:
    """An ordinary 3x3 convolution of every map, all channels to all: the unit of measurement."""
    return [F.conv2d(x, inputs.weight, padding=1) for x in inputs.features.values()]


def channels_of(config: DictConfig, name: str) -> int:
    """Channels of the maps that the backbone of a config, called ``name``, makes.

    Raises:
        ValueError: if the config does not say.
    """
    channels = OmegaConf.select(config, "model.backbone.out_channels")
    if channels is None:
        raise ValueError(f"{name} has no model with an FPN (model.backbone.out_channels).")
    return int(channels)


def check_heads(cascade_rpn: str, rpn: str) -> None:
    """Checks that the configs, given by name or path, have heads for the same maps.

    Raises:
        ValueError: if there is no such config, or the channels differ.
    """
    channels = [channels_of(model_zoo.get_config(name), name) for name in (cascade_rpn, rpn)]
    if channels[0] != channels[1]:
        raise ValueError(
            f"Heads are compared on the same maps, but {cascade_rpn} has {channels[0]} channels "
            f"and {rpn} has {channels[1]}."
        )


def build_cascade_rpn(name: str, case: Case) -> tuple[CascadeRPN, HeadInputs]:
    """The Cascade RPN of a config, its boxes as varied as trained ones, and maps for it.

    Raises:
        ValueError: if there is no such config, or its proposal generator is not a cascade.
    """
    config = model_zoo.get_config(name)
    head = build_head(config, case)
    if not isinstance(head, CascadeRPN) or len(head.stages) < 2:
        raise ValueError(f"{name} has no Cascade RPN of two or more stages to measure.")
    inputs = head_inputs(case, channels_of(config, name), head.in_features)
    act_trained(head, inputs, case)
    return head, inputs


def build_head(config: DictConfig, case: Case) -> nn.Module:
    """The proposal generator of a config with random weights, the same for the same config."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        head: Any = model_zoo.instantiate_model(config).proposal_generator
    return head.to(case.torch_device).to(memory_format=case.memory_format)


def with_one_anchor(config: DictConfig) -> DictConfig:
    """A config of a plain RPN changed, in place, to one square anchor a cell."""
    generator = config.model.proposal_generator
    generator.head.num_anchors = 1
    generator.anchor_generator.aspect_ratios = [1.0]
    return config


def act_trained(head: CascadeRPN, inputs: HeadInputs, case: Case) -> None:
    """Makes the boxes of the first stage as varied as those of a trained one.

    New weights predict next to nothing: every box is nearly its anchor, and neither the sampling of
    the second stage nor the suppression of duplicates has the work that it has in use. So the first
    stage's predictor is scaled, in place, until its deltas on these maps have the mean 0 and the
    standard deviations :data:`JITTER`.
    """
    training = head.training
    head.eval()
    spread_first_stage(head, lambda: run_head(head, inputs, case))
    head.train(training)


def spread_first_stage(head: CascadeRPN, run: Callable[[], object]) -> None:
    """See :func:`act_trained`; ``run`` calls the head once, in evaluation mode."""
    stage = cast(Stage, head.stages[0])
    predictor = stage.predictor
    deltas = outputs_of(predictor, run)[0].deltas  # (N, R*A, 4)
    values = deltas.unflatten(1, (-1, predictor.num_anchors)).flatten(2)  # (N, R, A*4)
    stds = deltas_stds(stage.box_coder.stds) * predictor.num_anchors
    scale_outputs(predictor.deltas, values.flatten(0, 1).T, stds)


@torch.no_grad()
def spread_branches(head: GuidedAnchorRPN, run: Callable[[], object]) -> None:
    """Makes guided anchors as varied as trained ones, in place, for the same reason.

    Their deltas get the standard deviations :data:`JITTER`, the logits of their locations
    :data:`LOCATION_SIGMA`; all have the mean 0.

    Args:
        head: whose branches are changed, as far as there are any.
        run: calls the head once, in evaluation mode.
    """
    branches: list[tuple[nn.Conv2d, list[float]]] = []
    if head.head.location is not None:
        branches.append((head.head.location, [LOCATION_SIGMA]))
    if head.head.shape is not None and head.shape is not None:
        stds = deltas_stds(head.shape.box_coder.stds)
        branches.append((head.head.shape, stds[-head.head.shape.out_channels :]))
    for layer, stds in branches:
        maps = outputs_of(layer, run)
        scale_outputs(layer, torch.cat([x.transpose(0, 1).flatten(1) for x in maps], dim=1), stds)


def deltas_stds(coder_stds: Sequence[float]) -> list[float]:
    """:data:`JITTER` in the units that a predictor works in, those of its box coder."""
    return [jitter / std for jitter, std in zip(JITTER, coder_stds, strict=True)]


def outputs_of(module: nn.Module, run: Callable[[], object]) -> list[Any]:
    """What a module returns, call by call, while ``run`` runs."""
    outputs: list[Any] = []
    hook = module.register_forward_hook(lambda *call: outputs.append(call[2]))
    try:
        run()
    finally:
        hook.remove()
    return outputs


@torch.no_grad()
def scale_outputs(layer: nn.Conv2d | nn.Linear, outputs: Tensor, stds: Sequence[float]) -> None:
    """Changes a layer so that its outputs have the mean 0 and given standard deviations.

    Args:
        layer: with as many output channels as there are ``stds``, and a bias; changed in place.
        outputs: (channels, cells) that it has now; of a linear layer (channels, boxes).
        stds: of every channel, over all cells of all maps.
    """
    scale = outputs.new_tensor(stds) / outputs.float().std(dim=1).clamp(min=1e-12)
    assert layer.bias is not None
    layer.bias.copy_((layer.bias - outputs.float().mean(dim=1)) * scale)
    layer.weight.mul_(scale.view(-1, *[1] * (layer.weight.dim() - 1)))


@torch.no_grad()
def run_head(head: nn.Module, inputs: HeadInputs, case: Case) -> list[Instances]:
    """From the maps to the final proposals; the head is in evaluation mode."""
    with case.autocast():
        proposals, _ = head(inputs.images, inputs.features)
    return proposals


def random_truth(case: Case, objects: int = 10) -> list[Instances]:
    """``objects`` boxes an image, their sides log-uniform from 16 px to the whole image."""
    generator = torch.Generator().manual_seed(0)
    height, width = case.image_size
    size = torch.tensor([width, height])
    truth = []
    for _ in range(case.batch):
        share = torch.rand(objects, 2, generator=generator)
        sides = 16 * (size / 16) ** share
        corner = torch.rand(objects, 2, generator=generator) * (size - sides)
        instances = Instances(case.image_size)
        instances.gt_boxes = Boxes(torch.cat((corner, corner + sides), dim=1))
        instances.gt_classes = torch.zeros(objects, dtype=torch.long)
        truth.append(instances.to(case.torch_device))
    return truth
