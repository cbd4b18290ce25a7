"""A small Cascade RPN over three levels of 8 channels, and a batch for it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from detectron2.modeling.anchor_generator import DefaultAnchorGenerator
from detectron2.structures import Boxes, ImageList, Instances

from cascade_rpn_d2.modeling import (
    AdaptiveAlignment,
    AllSampler,
    BoxCoder,
    BoxPredictor,
    CascadeRPN,
    ConvAlignment,
    IoUAssigner,
    IoULoss,
    RandomSampler,
    RegionAssigner,
    Stage,
)

CHANNELS = 8
STRIDES = (4, 8, 16)


@pytest.fixture
def make_stages() -> Callable[..., list[Stage]]:
    """Makes the two stages of Cascade RPN, or more that repeat the second one."""

    def make(count: int = 2, num_anchors: int = 1) -> list[Stage]:
        first = Stage(
            align=ConvAlignment(CHANNELS, CHANNELS, dilation=3),
            predictor=BoxPredictor(CHANNELS, num_anchors=num_anchors, objectness=False),
            box_coder=BoxCoder((0.1, 0.1, 0.5, 0.5)),
            assigner=RegionAssigner(),
            sampler=AllSampler(),
            box_loss=IoULoss(),
            bridge=True,
        )
        later = [
            Stage(
                align=AdaptiveAlignment(CHANNELS, CHANNELS),
                predictor=BoxPredictor(
                    CHANNELS, num_anchors=num_anchors, objectness=index == count - 1
                ),
                box_coder=BoxCoder((0.05, 0.05, 0.1, 0.1)),
                assigner=IoUAssigner(),
                sampler=RandomSampler(64),
                box_loss=IoULoss(),
            )
            for index in range(1, count)
        ]
        return [first, *later]

    return make


@pytest.fixture
def make_generator(make_stages) -> Callable[..., CascadeRPN]:
    def make(stages: list[Stage] | None = None, **options) -> CascadeRPN:
        anchors = options.pop("anchors", {})
        return CascadeRPN(
            in_features=["p2", "p3", "p4"],
            anchor_generator=DefaultAnchorGenerator(
                **{
                    "sizes": [[32], [64], [128]],
                    "aspect_ratios": [1.0],
                    "strides": STRIDES,
                    "offset": 0.0,
                    **anchors,
                }
            ),
            stages=make_stages() if stages is None else stages,
            **{"pre_nms_topk": (200, 100), "post_nms_topk": (60, 40), **options},
        )

    return make


@pytest.fixture
def batch() -> tuple[ImageList, dict[str, torch.Tensor], list[Instances]]:
    """Two images of different sizes in a canvas of 96 x 128; three objects and none."""
    sizes = [(96, 128), (60, 70)]
    images = ImageList(torch.zeros(2, 3, 96, 128), sizes)
    features = {
        f"p{level}": torch.randn(2, CHANNELS, 96 // stride, 128 // stride)
        for level, stride in zip((2, 3, 4), STRIDES, strict=True)
    }
    truth = []
    for size, boxes in zip(
        sizes, ([[10, 20, 50, 60], [60, 5, 90, 90], [100, 40, 112, 50.0]], []), strict=True
    ):
        x = Instances(size)
        x.gt_boxes = Boxes(torch.tensor(boxes).reshape(-1, 4))
        truth.append(x)
    return images, features, truth
