"""Average precision against the IoU threshold, and by the size of objects, beside each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from .canvas import RGBImage
from .curves import plain_row, render
from .lines import draw_lines

# Of the space between two groups of bars, the share that the bars fill.
_FILLED = 0.8


def plot_precision(
    by_iou: Mapping[str, Sequence[tuple[float, float]]],
    by_size: Mapping[str, Mapping[str, float | None]],
    *,
    size: tuple[int, int] = (1000, 420),
) -> RGBImage:
    """Plot how precise several detectors are (CPM R-CNN, Figure 8).

    Args:
        by_iou: name of a detector -> (IoU threshold, AP in per cent), in the order to join them in.
        by_size: name of the same detector -> name of a size of objects -> AP in per cent, None
            where there is no object of that size.
        size: width and height of the figure in pixels.

    Returns:
        (height, width, 3) uint8, RGB.

    Raises:
        ValueError: if there is no detector, if the two name different detectors or if those have
            different sizes, or as :func:`~.lines.plot_lines`.
    """
    return render(precision_figure(by_iou, by_size, size=size))


def precision_figure(
    by_iou: Mapping[str, Sequence[tuple[float, float]]],
    by_size: Mapping[str, Mapping[str, float | None]],
    *,
    size: tuple[int, int] = (1000, 420),
) -> Figure:
    """The figure behind :func:`plot_precision`, to be changed or saved as vectors."""
    if not by_iou or list(by_iou) != list(by_size):
        raise ValueError(
            f"AP by IoU is of {list(by_iou)}, AP by size of {list(by_size)}: give both of the same "
            "detectors, one at least."
        )
    groups = list(next(iter(by_size.values())))
    if any(list(values) != groups for values in by_size.values()):
        raise ValueError("All detectors need the same sizes of objects.")
    left, right = plain_row(size, 2)
    draw_lines(left, by_iou, xlabel="IoU threshold", ylabel="AP (%)", title="by IoU threshold")
    left.set_ylim(bottom=0)
    places, width = np.arange(len(groups)), _FILLED / len(by_size)
    for number, (name, values) in enumerate(by_size.items()):
        heights = [np.nan if (value := values[group]) is None else value for group in groups]
        offset = (number - (len(by_size) - 1) / 2) * width
        bars = right.bar(places + offset, heights, width, label=name)
        labels = ["" if np.isnan(height) else f"{height:.1f}" for height in heights]
        right.bar_label(bars, labels, padding=2, fontsize=8)
    right.set_xticks(places, groups)
    right.set(xlabel="objects", ylabel="AP (%)")
    right.set_title("by size", fontsize="medium")
    right.margins(y=0.1)
    right.set_axisbelow(True)  # no grid across the bars
    figure = left.figure
    assert isinstance(figure, Figure)
    return figure
