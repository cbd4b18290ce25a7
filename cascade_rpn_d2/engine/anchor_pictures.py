"""The guided anchors of a model on images (Guided Anchoring, Figure 4)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ..visualization import AnchorLevel, draw_guided_anchors
from ..visualization.canvas import RGBImage
from .generators import AnchorTrace, trace_anchors
from .predictor import BatchPredictor


def draw_anchors(
    predictor: BatchPredictor,
    images: Sequence[npt.NDArray[np.uint8]],
    *,
    top: int = 50,
    width: int = 1120,
) -> RGBImage:
    """Draw the anchors of a model on images, the probability of a centre and the aspect ratios.

    Args:
        predictor: with a model of guided anchors.
        images: (H, W, 3) uint8 in BGR order.
        top: how many anchors of an image are drawn.
        width: pixels of the picture.

    Returns:
        (H, width, 3) uint8, RGB.

    Raises:
        ValueError: if the model has no guided anchors, or several in a cell.
    """
    levels = [anchor_levels(trace_anchors(predictor, image)) for image in images]
    return draw_guided_anchors(
        [image[:, :, ::-1] for image in images], levels, top=top, width=width
    )


def anchor_levels(trace: AnchorTrace) -> list[AnchorLevel]:
    """The levels of a trace, in pixels of the image that was given.

    Raises:
        ValueError: if there are several anchors in a cell.
    """
    if trace.anchors.shape[1] != 1:
        raise ValueError(
            f"The model has {trace.anchors.shape[1]} anchors a cell, of shapes that it does not "
            "predict: give one with a shape branch, such as "
            "guided_anchoring/ga_rpn_r50_fpn_1x.py."
        )
    factors = np.array(trace.to_image)
    anchors = trace.anchors[:, 0].double().numpy() * np.tile(factors, 2)
    probability, active = trace.probability.double().numpy(), trace.active.numpy()
    levels, start = [], 0
    for grid in trace.grids:
        cells, shape = slice(start, start + grid.cells), (grid.height, grid.width)
        start += grid.cells
        x, y = (grid.stride * factors).tolist()
        levels.append(
            AnchorLevel(
                anchors[cells].reshape(*shape, 4),
                probability[cells].reshape(shape),
                active[cells].reshape(shape),
                first=(trace.offset * x, trace.offset * y),
                step=(x, y),
            )
        )
    return levels
