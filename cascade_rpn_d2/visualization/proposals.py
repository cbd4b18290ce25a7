"""Proposals on an image: which objects are covered, how well, and what else is proposed.

A thousand boxes are no picture. For every object the best of the top proposals stands out in a
colour that tells its IoU; the others are a pale background.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch

from ..layers import box_iou
from .canvas import Color, RGBImage, as_boxes, as_rgb, draw_boxes, fade, line_scale, rescale

GROUND_TRUTH: Color = (255, 255, 255)
# What the other proposals look like, drawn in white with little opacity on a dark picture.
PALE: Color = (125, 128, 132)
# Least IoU with the object -> colour of its best proposal, the best first.
IOU_COLORS: tuple[tuple[float, Color], ...] = (
    (0.7, (46, 204, 96)),
    (0.5, (255, 190, 30)),
    (0.0, (255, 72, 72)),
)
_BACKGROUND_FADE = 0.45
_PALE_OPACITY = 0.18
# Shorter side of a box, by the width of a line of the picture, from which its own line is 2 and 3
# times as wide: crowds of small boxes would be all lines otherwise.
_WIDER_FROM = (18.0, 64.0)
# So many ranked boxes do not hide the image; more are drawn paler.
_FEW = 30


def draw_proposals(
    image: Any,
    boxes: Any,
    scores: Any = None,
    gt_boxes: Any = None,
    *,
    top: int = 100,
    scale: float = 1.0,
) -> RGBImage:
    """Draw the best proposals of an image.

    With ground truth, the best proposal of every object is coloured by its IoU (``IOU_COLORS``),
    the object is outlined in white and the other proposals are pale. Without, proposals are
    coloured by rank, from violet (last) to yellow (first).

    Args:
        image: (H, W, 3) uint8, RGB.
        boxes: (n, 4) XYXY in pixels of the image: tensor, array or ``Boxes``.
        scores: (n,), the higher the better; None for boxes that are sorted already, best first.
        gt_boxes: (g, 4), the objects, if they are known.
        top: how many proposals to consider.
        scale: size of the picture relative to the image.

    Returns:
        (scale*H, scale*W, 3) uint8, RGB; the image given stays as it is.

    Raises:
        ValueError: if image, boxes or scores have a wrong shape.
    """
    canvas = rescale(as_rgb(image), scale)
    best_first = sort_by_score(as_boxes(boxes), scores)[:top]
    if gt_boxes is None:
        draw_ranked(canvas, best_first * scale)
        return canvas
    canvas = fade(canvas, _BACKGROUND_FADE, (0, 0, 0))
    objects = as_boxes(gt_boxes)
    index, iou = best_matches(best_first, objects)
    others = np.setdiff1d(np.arange(len(best_first)), index)
    draw_boxes(canvas, best_first[others] * scale, (255, 255, 255), 1, _PALE_OPACITY)
    draw_boxes(canvas, objects * scale, GROUND_TRUTH, 1, opacity=0.6)
    # The best are drawn last: what is covered well is never hidden by what is not.
    for number in np.argsort(iou):
        if iou[number] > 0:
            box = best_first[index[number]] * scale
            draw_boxes(canvas, box[None], iou_color(iou[number]), _thickness(canvas, box))
    return canvas


def draw_ground_truth(image: Any, gt_boxes: Any, *, scale: float = 1.0) -> RGBImage:
    """Draw the objects (g, 4) of an image (H, W, 3) in white with a dark rim; see above."""
    canvas = rescale(as_rgb(image), scale)
    boxes = as_boxes(gt_boxes) * scale
    for box in boxes:
        draw_boxes(canvas, box[None], (0, 0, 0), _thickness(canvas, box) + 2, opacity=0.4)
    for box in boxes:
        draw_boxes(canvas, box[None], GROUND_TRUTH, _thickness(canvas, box))
    return canvas


def recall_caption(boxes: Any, gt_boxes: Any, *, top: int = 100, iou: float = 0.7) -> str:
    """How many objects are covered by the first ``top`` boxes, as ``"recall@0.7: 11/14"``."""
    _, best = best_matches(as_boxes(boxes)[:top], as_boxes(gt_boxes))
    return f"recall@{iou:g}: {int((best >= iou).sum())}/{len(best)}"


def best_matches(
    boxes: npt.NDArray[np.float64], gt_boxes: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """The box that overlaps most with each object; it may be the best of another one too.

    Args:
        boxes: (n, 4).
        gt_boxes: (g, 4).

    Returns:
        Indices into ``boxes`` (g,) and IoU (g,); index 0 and IoU 0 where there are no boxes.
    """
    if not len(boxes):
        return np.zeros(len(gt_boxes), np.int64), np.zeros(len(gt_boxes))
    iou = box_iou(torch.from_numpy(gt_boxes)[:, None], torch.from_numpy(boxes)[None])  # (g, n)
    best, index = iou.max(dim=1)
    return index.numpy(), best.numpy()


def iou_color(iou: float) -> Color:
    """The colour of a proposal with that IoU with its object."""
    return next(color for least, color in IOU_COLORS if iou >= least)


def sort_by_score(boxes: npt.NDArray[np.float64], scores: Any) -> npt.NDArray[np.float64]:
    """Boxes (n, 4), best first; as they are if ``scores`` is None.

    Raises:
        ValueError: if there is not one score per box.
    """
    if scores is None:
        return boxes
    if isinstance(scores, torch.Tensor):
        scores = scores.detach().cpu()
    values = np.asarray(scores, dtype=np.float64)
    if values.shape != (len(boxes),):
        raise ValueError(f"{len(boxes)} boxes need as many scores, not {values.shape}.")
    return boxes[np.argsort(-values, kind="stable")]


def _thickness(canvas: RGBImage, box: npt.NDArray[np.float64]) -> int:
    side = min(box[2] - box[0], box[3] - box[1]) / line_scale(canvas)
    return 1 + sum(side >= wider for wider in _WIDER_FROM)


def rank_colors(count: int) -> list[Color]:
    """Colours of the first to the last of ``count`` proposals, from yellow to violet."""
    # The ends of the colour map are left out, for they are too dark or too bright to be seen.
    shade = np.linspace(225, 80, count).round().astype(np.uint8)
    if not count:
        return []
    colors = cv2.applyColorMap(shade[:, None], cv2.COLORMAP_PLASMA)[:, 0, ::-1]
    return [(int(red), int(green), int(blue)) for red, green, blue in colors]


def draw_ranked(canvas: RGBImage, boxes: npt.NDArray[np.float64]) -> None:
    """Outline boxes with the first on top."""
    colors = rank_colors(len(boxes))
    rest = 0.9 if len(boxes) <= _FEW else 0.6
    for rank in reversed(range(len(boxes))):
        first = rank < 10
        draw_boxes(
            canvas, boxes[rank][None], colors[rank], 2 if first else 1, 1.0 if first else rest
        )
