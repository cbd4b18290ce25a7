"""Several proposal generators, or the stages of one, side by side on the same images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .canvas import Color, RGBImage, as_boxes, as_rgb
from .panels import Panel, cell_size, fitting_scale, panel_grid
from .proposals import (
    GROUND_TRUTH,
    IOU_COLORS,
    PALE,
    draw_ground_truth,
    draw_proposals,
    recall_caption,
)


def draw_stages(
    images: Sequence[Any],
    gt_boxes: Sequence[Any],
    proposals: Mapping[str, Sequence[Any]],
    *,
    top: int = 100,
    iou: float = 0.7,
    width: int = 1120,
) -> RGBImage:
    """A row per image; the objects in the first column, then a column per list of proposals::

        draw_stages(images, objects, {"RPN": rpn, "stage 1": first, "stage 2": second})

    Args:
        images: n images (H, W, 3) uint8, RGB.
        gt_boxes: of every image the objects (g, 4) XYXY in its pixels.
        proposals: name of a column -> of every image the proposals (m, 4), best first.
        top: how many proposals of an image count.
        iou: overlap from which an object counts as covered, in the caption.
        width: pixels of the picture.

    Returns:
        The picture, (height, width, 3) uint8, RGB.

    Raises:
        ValueError: if there are no images, or not as many lists of boxes as images.
    """
    for name, boxes in {"Ground truth": gt_boxes, **proposals}.items():
        if len(boxes) != len(images):
            raise ValueError(f"'{name}' has boxes of {len(boxes)} images, not of {len(images)}.")
    cell = cell_size(width, 1 + len(proposals))
    rows = []
    for number, given in enumerate(images):
        image, objects = as_rgb(given), as_boxes(gt_boxes[number])
        scale = fitting_scale(image, cell)
        noun = "object" if len(objects) == 1 else "objects"
        row = [Panel(draw_ground_truth(image, objects, scale=scale), f"{len(objects)} {noun}")]
        for per_image in proposals.values():
            boxes = per_image[number]
            drawn = draw_proposals(image, boxes, gt_boxes=objects, top=top, scale=scale)
            row.append(Panel(drawn, recall_caption(boxes, objects, top=top, iou=iou)))
        rows.append(row)
    return panel_grid(rows, ["Ground truth", *proposals], stages_legend(top), width)


def stages_legend(top: int) -> list[tuple[Color, str]]:
    """What the colours of :func:`draw_stages` mean."""
    (good, green), (fair, amber), (_, red) = IOU_COLORS
    return [
        (green, f"best of top {top}: IoU ≥ {good:g}"),
        (amber, f"{fair:g} to {good:g}"),
        (red, f"below {fair:g}"),
        (GROUND_TRUTH, "object"),
        (PALE, "other proposals"),
    ]
