"""A box on its way through the stages of a cascade (CPM R-CNN, Figure 3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ..layers import box_iou, clip_boxes, mapped_regions
from .canvas import Color, RGBImage, as_boxes, as_rgb, draw_boxes, draw_dashed_boxes, figure
from .panels import Key, Panel, cell_size, panel_grid
from .proposals import GROUND_TRUTH
from .windows import Window, cut_window, in_window, window_around

PROPOSAL: Color = (255, 72, 72)
# Of the boxes after the stages.
STAGE_COLORS: tuple[Color, ...] = (
    (255, 190, 30),
    (70, 200, 255),
    (120, 230, 120),
    (255, 120, 200),
)
# What heat maps stand for, where it has not the colour of its box.
REGION: Color = (200, 205, 210)
_DARKNESS = 0.2
_THICKNESS = 2


@dataclass(frozen=True)
class BoxPath:
    """A box in front of the first stage and after each of N stages.

    Args:
        boxes: (N+1, 4) XYXY in image pixels.
        mapping_ratios: (N,) sides of the region that a stage's heat maps stand for, by those of the
            box it is given.
        target: (4,) the object; None if it is not known.
    """

    boxes: Any
    mapping_ratios: Sequence[float]
    target: Any = None


@figure
def draw_box_paths(
    images: Sequence[Any], paths: Sequence[BoxPath], *, width: int = 1120
) -> RGBImage:
    """A row per box: all that became of it, from near, then a column per stage.

    A stage has the box that it was given and the one that it made, and between dashes the region
    that its heat maps stand for.

    Args:
        images: n images (H, W, 3) uint8, RGB.
        paths: of one box in each image.
        width: pixels of the picture.

    Returns:
        (height, width, 3) uint8, RGB.

    Raises:
        ValueError: if there are no boxes, or not as many as images, or of other stages.
    """
    if not paths or len(paths) != len(images):
        raise ValueError(f"There are the paths of {len(paths)} boxes for {len(images)} images.")
    ratios = tuple(paths[0].mapping_ratios)
    for path in paths:
        if tuple(path.mapping_ratios) != ratios or len(as_boxes(path.boxes)) != len(ratios) + 1:
            raise ValueError("All boxes must have gone through the same stages.")
    cell = cell_size(width, 1 + len(ratios))
    rows = [_row(as_rgb(image), path, cell) for image, path in zip(images, paths, strict=True)]
    noun = "stage" if len(ratios) == 1 else f"{len(ratios)} stages"
    headers = [
        f"The box in {noun}",
        *(f"Stage {k}, region x {ratio:g}" for k, ratio in enumerate(ratios, 1)),
    ]
    legend = [Key(PROPOSAL, "proposal")]
    legend += [Key(stage_color(k), f"after stage {k}") for k in range(1, len(ratios) + 1)]
    if any(path.target is not None for path in paths):
        legend.append(Key(GROUND_TRUTH, "object"))
    legend.append(Key(REGION, "mapped region", "dashes"))
    return panel_grid(rows, headers, legend, width)


def stage_color(number: int) -> Color:
    """The colour of a box after stage ``number``; 0 is the proposal."""
    return STAGE_COLORS[(number - 1) % len(STAGE_COLORS)] if number else PROPOSAL


def region_boxes(boxes: npt.NDArray[np.float64], mapping_ratio: float) -> npt.NDArray[np.float64]:
    """The regions (n, 4), XYXY, that the heat maps of boxes (n, 4) stand for."""
    corner, size = np.split(mapped_regions(torch.from_numpy(boxes), mapping_ratio).numpy(), 2, 1)
    return np.concatenate((corner, corner + size), axis=1)


def iou_in_image(
    boxes: npt.NDArray[np.float64], target: npt.NDArray[np.float64], shape: tuple[int, ...]
) -> npt.NDArray[np.float64]:
    """IoU (n,) of boxes (n, 4), clipped to an image as detections are, with a box (1, 4).

    Args:
        shape: height and width of the image.
    """
    size = torch.tensor([shape[:2]], dtype=torch.float64)
    clipped = clip_boxes(torch.from_numpy(boxes)[None], size)[0]
    return box_iou(clipped, torch.from_numpy(target)).numpy()


def _row(image: RGBImage, path: BoxPath, cell: int) -> list[Panel]:
    boxes = as_boxes(path.boxes)
    target = None if path.target is None else as_boxes([path.target])
    known = boxes if target is None else np.concatenate((boxes, target))
    regions = np.concatenate(
        [
            region_boxes(box[None], ratio)
            for box, ratio in zip(boxes[:-1], path.mapping_ratios, strict=True)
        ]
    )
    overlap = None if target is None else iou_in_image(boxes, target, image.shape)

    def panel(window: Window, shown: Sequence[int], region: int | None = None) -> Panel:
        scale = cell / max(window[2] - window[0], window[3] - window[1])
        canvas = cut_window(image, window, scale, _DARKNESS)
        if target is not None:
            draw_boxes(canvas, in_window(target, window, scale), GROUND_TRUTH, _THICKNESS)
        if region is not None:
            placed = in_window(regions[region, None], window, scale)
            draw_dashed_boxes(canvas, placed, stage_color(region), _THICKNESS)
        for number in shown:
            placed = in_window(boxes[number, None], window, scale)
            draw_boxes(canvas, placed, stage_color(number), _THICKNESS)
        if overlap is None:
            return Panel(canvas)
        return Panel(canvas, "IoU " + " → ".join(f"{overlap[number]:.2f}" for number in shown))

    near = window_around(image.shape[:2], known.reshape(-1, 2))
    wide = window_around(
        image.shape[:2], np.concatenate((known, regions)).reshape(-1, 2), room=0.03
    )
    stages = range(len(regions))
    return [
        panel(near, range(len(boxes))),
        *(panel(wide, (number, number + 1), number) for number in stages),
    ]
