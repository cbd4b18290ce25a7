"""Detections of a point-guided detector on their way through its stages (CPM R-CNN, Figures 2 and
3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..layers import box_iou
from ..visualization import BoxPath, GridMaps, draw_box_paths, draw_heat_maps
from ..visualization.canvas import RGBImage
from .grid_traces import GridTrace, trace_grid
from .labelled_images import classes_of, objects_of
from .predictor import BatchPredictor

Pick = Literal["best", "moved"]
# A detection that overlaps less with an object is none of it.
_LEAST_IOU = 0.5


@dataclass(frozen=True)
class GivenImage:
    """An image to look at.

    Args:
        name: what to call it in a message.
        pixels: (H, W, 3) uint8 in BGR order.
        record: Detectron2's dict with ``annotations``; None if the objects are not known.
    """

    name: str
    pixels: npt.NDArray[np.uint8]
    record: dict[str, Any] | None = None


def draw_grid(
    predictor: BatchPredictor,
    image: GivenImage,
    *,
    detection: int | None = None,
    stage: int = 1,
    width: int = 1120,
) -> RGBImage:
    """Draw the heat maps of a detection, and the box that is read from them.

    Args:
        predictor: with a point-guided detector.
        image: to look at.
        detection: number of the detection from 1, the best score first; None for that of
            :func:`choose_detection`.
        stage: number of the stage whose maps to draw, from 1.
        width: pixels of the picture.

    Returns:
        (H, width, 3) uint8, RGB.

    Raises:
        ValueError: if the model is no point-guided detector, or there is no such detection or
            stage.
    """
    trace = trace_grid(predictor, image.pixels)
    if not 1 <= stage <= len(trace.logits):
        raise ValueError(f"The model has stages 1 to {len(trace.logits)}, not {stage}.")
    if detection is None:
        chosen = choose_detection(trace, image.record)
        if chosen is None:
            raise _nothing_found(image.name)
    elif detection <= len(trace):
        chosen = detection - 1
    else:
        raise ValueError(
            f"There are {len(trace)} detections in {image.name}, so none has the number "
            f"{detection}."
        )
    maps = GridMaps(
        trace.logits[stage - 1][chosen],
        trace.boxes[stage - 1, chosen],
        trace.mapping_ratios[stage - 1],
        _object_of(trace, chosen, image.record),
    )
    return draw_heat_maps([image.pixels[:, :, ::-1]], [maps], width=width)


def draw_refinement(
    predictor: BatchPredictor,
    images: Sequence[GivenImage],
    *,
    pick: Pick = "best",
    width: int = 1120,
) -> tuple[RGBImage, int]:
    """Draw what the stages make of a box in each of several images.

    Args:
        predictor: with a point-guided detector.
        images: to look at.
        pick: see :func:`choose_detection`.
        width: pixels of the picture.

    Returns:
        picture: (H, width, 3) uint8, RGB.
        count: how many images are there; those without a detection are left out.

    Raises:
        ValueError: if the model is no point-guided detector, or finds nothing in any image.
    """
    pixels, paths = [], []
    for image in images:
        trace = trace_grid(predictor, image.pixels)
        chosen = choose_detection(trace, image.record, pick)
        if chosen is not None:
            pixels.append(image.pixels[:, :, ::-1])
            paths.append(
                BoxPath(
                    trace.boxes[:, chosen],
                    trace.mapping_ratios,
                    _object_of(trace, chosen, image.record),
                )
            )
    if not paths:
        raise _nothing_found(", ".join(image.name for image in images))
    return draw_box_paths(pixels, paths, width=width), len(paths)


def choose_detection(
    trace: GridTrace, record: dict[str, Any] | None, pick: Pick = "best"
) -> int | None:
    """Which detection of an image to look at.

    Where the objects are known, it is one of those that are of an object, have its class and
    overlap with it by half at least, if there are such detections.

    Args:
        trace: of the image.
        record: with its objects, None if they are not known.
        pick: ``"best"``, the one of the best score, or ``"moved"``, the one whose IoU with its
            object the stages have raised most.

    Returns:
        Its index; None if there is no detection.

    Raises:
        ValueError: if ``"moved"`` is to be picked where no objects are known.
    """
    if record is None and pick == "moved":
        raise ValueError(
            "Which box the stages have moved for the better is known only where objects are: "
            "give a dataset, or pick the best."
        )
    if record is None or not len(trace):
        return 0 if len(trace) else None
    objects = objects_of(record)
    index, after = trace.match(objects, classes_of(record))
    found = after >= _LEAST_IOU
    if pick == "best" or not found.any():
        return int(found.int().argmax())  # the first, which has the best score
    before = box_iou(trace.clipped(0), objects[index])
    return int(torch.where(found, after - before, -1).argmax())


def _object_of(trace: GridTrace, detection: int, record: dict[str, Any] | None) -> Tensor | None:
    """The object (4,) of a detection, None if it has none or they are not known."""
    if record is None:
        return None
    objects = objects_of(record)
    index, iou = trace.match(objects, classes_of(record))
    return objects[index[detection]] if iou[detection] > 0 else None


def _nothing_found(where: str) -> ValueError:
    return ValueError(
        f"The model detects nothing in {where}: give trained weights, or another image."
    )
