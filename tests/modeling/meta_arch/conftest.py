"""A small GA-RetinaNet over three levels of 8 channels, and a batch for it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from detectron2.layers import ShapeSpec
from detectron2.modeling.anchor_generator import DefaultAnchorGenerator
from detectron2.modeling.backbone import Backbone
from detectron2.structures import Boxes, Instances
from torch import Tensor, nn

from cascade_rpn_d2.modeling import (
    BoundedIoULoss,
    BoxCoder,
    DenseSampler,
    FeatureAdaption,
    GuidedAnchorRetinaNet,
    GuidedAnchorRetinaNetHead,
    IoUAssigner,
    LocationLoss,
    RandomSampler,
    Refinement,
    RegionAssigner,
    SigmoidFocalLoss,
    SmoothL1Loss,
    VariableIoUAssigner,
)

CHANNELS, CLASSES = 8, 3
STRIDES = (8, 16, 32)


class PatchBackbone(Backbone):
    """Maps p3 to p5, each an own projection of the pixels of its cells: no cell sees another, so
    neither sees the padding."""

    size_divisibility = 32

    def __init__(self):
        super().__init__()
        self.project = nn.Conv2d(3, CHANNELS, 1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {f"p{3 + i}": self.project(F.avg_pool2d(x, s)) for i, s in enumerate(STRIDES)}

    def output_shape(self) -> dict[str, ShapeSpec]:
        return {f"p{3 + i}": ShapeSpec(CHANNELS, stride=s) for i, s in enumerate(STRIDES)}


@pytest.fixture
def make_head() -> Callable[..., GuidedAnchorRetinaNetHead]:
    def make(channels: int = CHANNELS, num_classes: int = CLASSES, **options):
        return GuidedAnchorRetinaNetHead(
            channels,
            num_classes=num_classes,
            cls_adaption=FeatureAdaption(channels, channels),
            box_adaption=FeatureAdaption(channels, channels),
            **options,
        )

    return make


@pytest.fixture
def make_model(make_head) -> Callable[..., GuidedAnchorRetinaNet]:
    """Makes a GA-RetinaNet as released, but narrow; its parts can be replaced."""

    def make(**options) -> GuidedAnchorRetinaNet:
        parts = {
            "head": make_head(num_convs=2),
            "anchor_generator": DefaultAnchorGenerator(
                sizes=[[32], [64], [128]], aspect_ratios=[1.0], strides=STRIDES, offset=0.0
            ),
            "refinement": Refinement(
                box_coder=BoxCoder(),
                assigner=IoUAssigner(0.5, 0.5, 0.0),
                sampler=DenseSampler(),
                box_loss=SmoothL1Loss(0.04),
                cls_loss=SigmoidFocalLoss(),
            ),
            "shape": Refinement(
                box_coder=BoxCoder(max_side_ratio=1e6),
                assigner=VariableIoUAssigner(0.5, 0.4, 0.4),
                sampler=RandomSampler(256),
                box_loss=BoundedIoULoss(),
            ),
            "location_loss": LocationLoss(
                assigner=RegionAssigner(
                    anchor_scale=4.0, adjacent="negatives", overlap="center", keep_border=True
                )
            ),
        }
        return GuidedAnchorRetinaNet(
            backbone=PatchBackbone(),
            num_classes=CLASSES,
            **{
                "pixel_mean": [100.0, 100.0, 100.0],
                "pixel_std": [50.0, 50.0, 50.0],
                **parts,
                **options,
            },
        )

    return make


def image_with(boxes: list[list[float]], size: tuple[int, int]) -> dict:
    """An image of noise with objects of classes 0, 1, 2, 0, ..."""
    truth = Instances(size)
    truth.gt_boxes = Boxes(torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4))
    truth.gt_classes = torch.arange(len(boxes)) % CLASSES
    return {"image": torch.randint(0, 255, (3, *size)).float(), "instances": truth}


@pytest.fixture
def batch() -> list[dict]:
    """Two images of different sizes, padded to 128 x 160: three objects, and none."""
    objects = [[10, 20, 50, 60], [60, 5, 120, 95], [100, 90, 130, 122]]
    return [image_with(objects, (128, 150)), image_with([], (60, 90))]


@pytest.fixture
def empty_batch() -> list[dict]:
    """Two images without an object."""
    return [image_with([], (128, 150)), image_with([], (60, 90))]
