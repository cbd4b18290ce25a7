"""Several proposal generators, or the stages of one, side by side on the same images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .canvas import Color, RGBImage, as_boxes, as_rgb, figure
from .panels import Panel, cell_size, fitting_scale, panel_grid
from .proposals import (
    GROUND_TRUTH,
    IOU_COLORS,
    PALE,
    draw_ground_truth,
    draw_proposals,
    rank_colors,
    recall_caption,
)


@figure
def draw_stages(
    images: Sequence[Any],
    gt_boxes: Sequence[Any] | None,
    proposals: Mapping[str, Sequence[Any]],
    *,
    top: int = 100,
    iou: float = 0.7,
    width: int = 1120,
) -> RGBImage:
    """A row per image; the objects in the first column, then a column per list of proposals::

        draw_stages(images, objects, {"RPN": rpn, "stage 1": first, "stage 2": second})

    Where the objects are not known, there is no column of them, and the best proposals are coloured
    by their rank instead of their overlap.

    Args:
        images: n images (H, W, 3) uint8, RGB.
        gt_boxes: of every image the objects (g, 4) XYXY in its pixels; None if they are not known.
        proposals: name of a column -> of every image the proposals (m, 4), best first.
        top: how many proposals of an image count.
        iou: overlap from which an object counts as covered, in the caption.
        width: pixels of the picture.

    Returns:
        The picture, (height, width, 3) uint8, RGB.

    Raises:
        ValueError: if there are no images, or not as many lists of boxes as images.
    """
    known = {} if gt_boxes is None else {"Ground truth": gt_boxes}
    for name, boxes in {**known, **proposals}.items():
        if len(boxes) != len(images):
            raise ValueError(f"'{name}' has boxes of {len(boxes)} images, not of {len(images)}.")
    cell = cell_size(width, len(known) + len(proposals))
    rows = []
    for number, given in enumerate(images):
        image = as_rgb(given)
        scale = fitting_scale(image, cell)
        per_column = [boxes[number] for boxes in proposals.values()]
        if gt_boxes is None:
            rows.append([_ranked_panel(image, boxes, top, scale) for boxes in per_column])
            continue
        objects = as_boxes(gt_boxes[number])
        noun = "object" if len(objects) == 1 else "objects"
        row = [Panel(draw_ground_truth(image, objects, scale=scale), f"{len(objects)} {noun}")]
        for boxes in per_column:
            drawn = draw_proposals(image, boxes, gt_boxes=objects, top=top, scale=scale)
            row.append(Panel(drawn, recall_caption(boxes, objects, top=top, iou=iou)))
        rows.append(row)
    legend = ranks_legend(top) if gt_boxes is None else stages_legend(top)
    return panel_grid(rows, [*known, *proposals], legend, width)


def _ranked_panel(image: RGBImage, boxes: Any, top: int, scale: float) -> Panel:
    caption = f"{min(top, len(boxes))} of {len(boxes)} proposals"
    return Panel(draw_proposals(image, boxes, top=top, scale=scale), caption)


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


def ranks_legend(top: int) -> list[tuple[Color, str]]:
    """What the colours of :func:`draw_stages` mean where the objects are not known."""
    colors = rank_colors(top)
    legend = [(colors[0], "best proposal")]
    if top > 2:
        legend.append((colors[top // 2], f"rank {top // 2 + 1}"))
    if top > 1:
        legend.append((colors[-1], f"rank {top}"))
    return legend
