"""Guided anchors: where they are and which shape they have (Guided Anchoring, Figure 4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from .canvas import RGBImage, as_boxes, as_rgb, draw_dot, fade, figure, rescale
from .color_bar import color_bar, map_colors
from .panels import Panel, cell_size, fitting_scale, panel_grid
from .proposals import draw_ranked, rank_colors

# Labelled on a scale of square roots: on a linear one the small probabilities, among which the
# threshold decides, would all look the same.
_PROBABILITIES = (0.0, 0.01, 0.1, 0.25, 0.5, 1.0)
# Ratios that have a colour of their own, as powers of two: 1/4 is wide and 4 is tall.
_MOST_LOG_RATIO = 2.0
_PROBABILITY_COLORS, _RATIO_COLORS = "inferno", "coolwarm"
_COLORS = 256
_DARK, _DARKER = 0.45, 0.7
_DOT, _DOT_COLOR = 1.6, (255, 255, 255)


@dataclass(frozen=True)
class AnchorLevel:
    """The cells of a level (H x W), each with one anchor; places in pixels of the image.

    Args:
        anchors: (H, W, 4) XYXY.
        probability: (H, W) that there is an object's centre.
        active: (H, W) bool, the cells whose anchors take part.
        first: x and y of the centre of the first cell.
        step: x and y from a cell to the next.
    """

    anchors: npt.NDArray[np.float64]
    probability: npt.NDArray[np.float64]
    active: npt.NDArray[np.bool_]
    first: tuple[float, float]
    step: tuple[float, float]

    def log_ratios(self) -> npt.NDArray[np.float64]:
        """log2 of height / width of every anchor (H, W)."""
        sides = (self.anchors[..., 2:] - self.anchors[..., :2]).clip(min=np.finfo(float).tiny)
        return np.log2(sides[..., 1]) - np.log2(sides[..., 0])

    def cells_at(
        self, size: tuple[int, ...], scale: float
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Row (h, 1) and column (1, w) of the nearest cell to each pixel of a picture.

        Args:
            size: h and w of the picture.
            scale: its size relative to the image.
        """
        found = []
        for pixels, cells, start, step in zip(
            size, self.active.shape, self.first[::-1], self.step[::-1], strict=True
        ):
            places = (np.arange(pixels) + 0.5) / scale
            nearest = np.floor((places - start) / step + 0.5)
            found.append(nearest.clip(0, cells - 1).astype(np.int64))
        return found[0][:, None], found[1][None]


@figure
def draw_guided_anchors(
    images: Sequence[Any],
    levels: Sequence[Sequence[AnchorLevel]],
    *,
    top: int = 50,
    width: int = 1120,
) -> RGBImage:
    """A row per image: its most probable anchors, the probability of a centre, and aspect ratios.

    A pixel of the two maps shows the cell nearest to it, of the level that is most sure of a centre
    there. Only active cells have a ratio; elsewhere the image is dark.

    Args:
        images: n images (H, W, 3) uint8, RGB.
        levels: of every image its levels.
        top: how many anchors of an image are drawn, coloured by the rank of their probability.
        width: pixels of the picture.

    Returns:
        The picture, (height, width, 3) uint8, RGB.

    Raises:
        ValueError: if there are no images, or not as many lists of levels.
    """
    if not images:
        raise ValueError("There is no image whose anchors to draw.")
    if len(levels) != len(images):
        raise ValueError(f"There are levels of {len(levels)} images, not of {len(images)}.")
    cell = cell_size(width, 3)
    rows = []
    for given, pyramid in zip(images, levels, strict=True):
        image = as_rgb(given)
        scale = fitting_scale(image, cell)
        canvas = rescale(image, scale)
        probability, ratio = pixel_maps(pyramid, canvas.shape[:2], scale)
        rows.append(
            [
                Panel(*_anchors_panel(canvas, pyramid, top, scale)),
                Panel(*_probability_panel(probability, pyramid)),
                Panel(*_ratio_panel(canvas, ratio, pyramid)),
            ]
        )
    headers = ["Anchors", "Probability of a centre", "Aspect ratio h/w"]
    return panel_grid([*rows, _bars(top, cell)], headers, width=width)


def pixel_maps(
    levels: Sequence[AnchorLevel], size: tuple[int, ...], scale: float
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Probability and log2 of the aspect ratio at every pixel of a picture (h, w).

    Args:
        levels: of the image.
        size: h and w.
        scale: size of the picture relative to the image.

    Returns:
        Both (h, w), of the most probable of the nearest cells of all levels; the ratio is NaN where
        that cell is not active.
    """
    best, ratio = np.full(size, -1.0), np.full(size, np.nan)
    for level in levels:
        at = level.cells_at(size, scale)
        probability = level.probability[at]
        own = np.where(level.active, level.log_ratios(), np.nan)[at]
        more = probability > best
        best, ratio = np.where(more, probability, best), np.where(more, own, ratio)
    return best, ratio


def _anchors_panel(
    canvas: RGBImage, levels: Sequence[AnchorLevel], top: int, scale: float
) -> tuple[RGBImage, str]:
    boxes = np.concatenate([level.anchors[level.active] for level in levels])
    probability = np.concatenate([level.probability[level.active] for level in levels])
    order = np.argsort(-probability, kind="stable")[:top]
    picture = fade(canvas, _DARK, (0, 0, 0))
    draw_ranked(picture, as_boxes(boxes[order]) * scale)
    for place in centers_of(levels)[order] * scale:
        draw_dot(picture, place, _DOT, _DOT_COLOR)
    return picture, f"{len(order)} of {len(boxes)} anchors"


def centers_of(levels: Sequence[AnchorLevel]) -> npt.NDArray[np.float64]:
    """Centres (n, 2) of the active cells, x and y, level by level and row by row."""
    places = []
    for level in levels:
        rows, columns = np.nonzero(level.active)
        places.append(np.stack((columns, rows), axis=-1) * level.step + np.array(level.first))
    return np.concatenate(places)


def _probability_panel(
    probability: npt.NDArray[np.float64], levels: Sequence[AnchorLevel]
) -> tuple[RGBImage, str]:
    active = np.concatenate([level.active.ravel() for level in levels])
    caption = f"{100 * active.mean():.1f} % of {len(active)} cells active"
    return map_colors(np.sqrt(probability), _PROBABILITY_COLORS), caption


def _ratio_panel(
    canvas: RGBImage, log_ratio: npt.NDArray[np.float64], levels: Sequence[AnchorLevel]
) -> tuple[RGBImage, str]:
    # Without its colours, or they could be taken for ratios.
    grey = cv2.cvtColor(cv2.cvtColor(canvas, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    shade = 0.5 + np.nan_to_num(log_ratio) / (2 * _MOST_LOG_RATIO)
    colors = map_colors(shade, _RATIO_COLORS)
    shown = np.isfinite(log_ratio)[..., None]
    picture = np.where(shown, colors, fade(np.asarray(grey, np.uint8), _DARKER, (0, 0, 0)))
    ratios = np.concatenate([level.log_ratios()[level.active] for level in levels])
    if not len(ratios):
        return picture, "no anchor"
    low, high = 2 ** np.quantile(ratios, (0.05, 0.95))
    return picture, f"90 % between {low:.2g} and {high:.2g}"


def _bars(top: int, cell: int) -> list[Panel]:
    """What the colours mean, a bar below each column."""
    ramp = np.linspace(0.0, 1.0, _COLORS)
    ranks = np.array(rank_colors(max(top, 2)), np.uint8)
    probabilities = {float(np.sqrt(value)): f"{value:g}" for value in _PROBABILITIES}
    return [
        Panel(color_bar(ranks, {0.0: "most probable", 1.0: f"rank {top}"}, cell)),
        Panel(color_bar(map_colors(ramp, _PROBABILITY_COLORS), probabilities, cell)),
        Panel(
            color_bar(
                map_colors(ramp, _RATIO_COLORS),
                {0.0: "1/4 wide", 0.25: "1/2", 0.5: "1", 0.75: "2", 1.0: "tall 4"},
                cell,
            )
        ),
    ]
