"""Detections on an image: boxes, masks if there are any, classes and scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from detectron2.structures import Instances
from detectron2.utils.visualizer import Visualizer

from .canvas import RGBImage, as_rgb

_PALETTE = matplotlib.colormaps["tab10"](np.arange(10))[:, :3]


def draw_detections(
    image: Any, instances: Instances, class_names: Sequence[str] = (), *, scale: float = 1.0
) -> RGBImage:
    """Draw detections with Detectron2's ``Visualizer``, a class always in the same colour.

    Args:
        image: (H, W, 3) uint8, RGB.
        instances: on the CPU, with ``pred_boxes``, ``scores``, ``pred_classes`` and perhaps
            ``pred_masks``, in pixels of the image.
        class_names: names of the classes; a class beyond them is shown by its number.
        scale: size of the picture relative to the image.

    Returns:
        (scale*H, scale*W, 3) uint8, RGB; the image given stays as it is.
    """
    classes = instances.pred_classes.tolist()
    scores = instances.scores.tolist()
    labels = [
        f"{class_names[c] if c < len(class_names) else f'class {c}'} {s:.0%}"
        for c, s in zip(classes, scores, strict=True)
    ]
    visualizer = Visualizer(as_rgb(image), scale=scale)
    output = visualizer.overlay_instances(
        boxes=instances.pred_boxes,
        masks=instances.pred_masks.numpy() if instances.has("pred_masks") else None,
        labels=labels,
        assigned_colors=[_PALETTE[c % len(_PALETTE)] for c in classes],
    )
    return np.asarray(output.get_image())
