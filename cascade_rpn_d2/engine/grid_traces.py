"""A point-guided detector seen at work on one image: what its stages make of boxes, and how the
results are scored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from ..layers import box_iou, clip_boxes
from ..modeling import GridROIHeads, GridStage
from .generators import read_maps
from .predictor import BatchPredictor


@dataclass(frozen=True)
class GridTrace:
    """R detections of one image on their way through N stages, those of the best scores first.

    All tensors are on the CPU, and boxes in pixels of the image that was given.

    Args:
        boxes: (N+1, R, 4) XYXY, in front of the first stage and after each; they may leave the
            image.
        logits: of every stage the heat maps (R, P, m, m) before the sigmoid.
        mapping_ratios: of every stage.
        classes: (R,).
        scores: of every module (R,), by its name; the last one ranks the detections.
        image_size: height and width.
    """

    boxes: Tensor
    logits: list[Tensor]
    mapping_ratios: list[float]
    classes: Tensor
    scores: dict[str, Tensor]
    image_size: tuple[int, int]

    def __len__(self) -> int:
        return len(self.classes)

    def clipped(self, stage: int = -1) -> Tensor:
        """The boxes (R, 4) after a stage, by default those that are detected, in the image."""
        return clip_boxes(self.boxes[stage, None], torch.tensor([self.image_size]))[0]

    def match(self, objects: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
        """The object of every detection: that of its class that it overlaps most.

        Args:
            objects: (g, 4) in pixels of the image.
            classes: (g,).

        Returns:
            index: (R,) of the object; 0 where there is none.
            iou: (R,), 0 where there is none.
        """
        if not len(objects):
            return torch.zeros_like(self.classes), torch.zeros(len(self))
        iou = box_iou(self.clipped()[:, None], objects[None])  # (R, g)
        iou, index = torch.where(self.classes[:, None] == classes, iou, 0).max(dim=1)
        return index, iou


def point_guided_heads(model: nn.Module) -> GridROIHeads:
    """The heads of a point-guided detector.

    Raises:
        ValueError: if the model is none.
    """
    heads = getattr(model, "roi_heads", None)
    if isinstance(heads, GridROIHeads):
        return heads
    raise ValueError(
        f"{type(model if heads is None else heads).__name__} has no heat maps of grid points: give "
        "a config such as grid_rcnn/grid_rcnn_r50_fpn_2x.py or cpm_rcnn/cpm_rcnn_r50_fpn_2x.py."
    )


@torch.no_grad()
def trace_grid(predictor: BatchPredictor, image: npt.NDArray[np.uint8]) -> GridTrace:
    """A point-guided detector at work on an image.

    Args:
        predictor: with its model.
        image: (H, W, 3) uint8 in BGR order.

    Raises:
        ValueError: if the model is no point-guided detector.
    """
    heads = point_guided_heads(predictor.model)
    network: Any = predictor.model
    inputs = predictor.preprocess(image)
    images, features = read_maps(network, inputs)
    maps = dict(features)
    proposals, _ = network.proposal_generator(images, maps, None)
    candidates = heads.candidates(maps, proposals)
    steps = list(heads.steps(maps, [x.pred_boxes for x in candidates], images.image_sizes))
    parts = heads.score_parts(maps, candidates, steps[-1])
    order = parts.fused.argsort(descending=True, stable=True)
    stages = cast(list[GridStage], list(heads.grid_stages))
    height, width = images.image_sizes[0]
    factors = torch.tensor([inputs["width"] / width, inputs["height"] / height]).repeat(2)
    boxes = torch.stack([steps[0].boxes, *(step.refined for step in steps)])
    found = {"classification": parts.score, "ISM": parts.iou, "RSM": parts.resampled}
    scores = {name: score for name, score in found.items() if score is not None}
    if len(scores) > 1:
        scores["fused"] = parts.fused
    return GridTrace(
        boxes[:, order].float().cpu() * factors,
        [step.prediction.logits[order].float().cpu() for step in steps],
        [stage.mapping_ratio for stage in stages[: len(steps)]],
        candidates[0].pred_classes[order].cpu(),
        {name: score[order].float().cpu() for name, score in scores.items()},
        (inputs["height"], inputs["width"]),
    )
