"""A small Cascade RPN and a small GA-RPN over three levels of 8 channels, and a batch for them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from detectron2.modeling.anchor_generator import DefaultAnchorGenerator
from detectron2.structures import Boxes, ImageList, Instances

from cascade_rpn_d2.modeling import (
    AdaptiveAlignment,
    AllSampler,
    BoundedIoULoss,
    BoxCoder,
    BoxPredictor,
    CascadeRPN,
    ConvAlignment,
    FeatureAdaption,
    GuidedAnchorHead,
    GuidedAnchorRPN,
    IoUAssigner,
    IoULoss,
    LocationLoss,
    RandomSampler,
    Refinement,
    RegionAssigner,
    SmoothL1Loss,
    Stage,
    VariableIoUAssigner,
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


@pytest.fixture
def make_guided() -> Callable[..., GuidedAnchorRPN]:
    """Makes a GA-RPN; its head and the parts that train its branches can be replaced."""

    def refinement(stds: tuple[float, ...], **options) -> Refinement:
        return Refinement(box_coder=BoxCoder(stds), sampler=RandomSampler(64), **options)

    def make(
        shape: str = "size",
        adaption: torch.nn.Module | str | None = "shape",
        location: bool = True,
        num_anchors: int = 1,
        **options,
    ) -> GuidedAnchorRPN:
        if adaption == "shape":
            channels = {"size": 2, "box": 4}[shape]
            adaption = FeatureAdaption(CHANNELS, CHANNELS, shape_channels=channels, offset_groups=4)
        parts = {
            "head": GuidedAnchorHead(
                CHANNELS,
                num_anchors=num_anchors,
                location=location,
                shape=shape,
                adaption=adaption,
            ),
            "refinement": refinement(
                (0.07, 0.07, 0.11, 0.11),
                assigner=IoUAssigner(0.7, 0.3, 0.3),
                box_loss=SmoothL1Loss(1.0),
            ),
            "shape": None
            if shape == "none"
            else refinement(
                (0.07, 0.07, 0.14, 0.14),
                assigner=VariableIoUAssigner(),
                box_loss=BoundedIoULoss(),
            ),
            "location_loss": LocationLoss(
                assigner=RegionAssigner(adjacent="negatives", overlap="center", keep_border=True)
            )
            if location
            else None,
        }
        return GuidedAnchorRPN(
            in_features=["p2", "p3", "p4"],
            anchor_generator=DefaultAnchorGenerator(
                sizes=[[32], [64], [128]],
                aspect_ratios=[0.5, 1.0, 2.0] if num_anchors == 3 else [1.0],
                strides=STRIDES,
                offset=0.0,
            ),
            **{"pre_nms_topk": (200, 100), "post_nms_topk": (60, 40), **parts, **options},
        )

    return make
