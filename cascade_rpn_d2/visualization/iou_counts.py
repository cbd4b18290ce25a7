"""How many proposals overlap with an object how well (Guided Anchoring, Figure 3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from .canvas import RGBImage
from .curves import plain_axes, render


def plot_iou_counts(
    counts: Mapping[str, Sequence[float]],
    ious: Sequence[float],
    *,
    title: str = "",
    size: tuple[int, int] = (640, 440),
) -> RGBImage:
    """Plot how many proposals an image have at least an IoU with some object, a line per method.

    Args:
        counts: name of a method -> proposals an image at each IoU.
        ious: least IoUs, descending; so the lines rise to the right, as the paper has it.
        title: words above.
        size: width and height of the picture in pixels.

    Returns:
        (height, width, 3) uint8, RGB.

    Raises:
        ValueError: if there is no line, or one has not as many values as there are IoUs.
    """
    return render(iou_counts_figure(counts, ious, title=title, size=size))


def iou_counts_figure(
    counts: Mapping[str, Sequence[float]],
    ious: Sequence[float],
    *,
    title: str = "",
    size: tuple[int, int] = (640, 440),
) -> Figure:
    """The figure behind :func:`plot_iou_counts`, to be changed or saved as vectors."""
    if not counts:
        raise ValueError("There is no line to plot.")
    axes = plain_axes(size)
    x = np.asarray(ious, dtype=np.float64)
    for name, values in counts.items():
        y = np.asarray(values, dtype=np.float64)
        if y.shape != x.shape:
            raise ValueError(f"'{name}' has {y.size} counts for {x.size} IoUs.")
        axes.plot(x, y, linewidth=2, label=name)
    axes.set(xlabel="least IoU with an object", ylabel="proposals an image")
    axes.set_title(title, fontsize="medium")
    axes.set_xlim(x[0], x[-1])
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, loc="upper left")
    figure = axes.figure
    assert isinstance(figure, Figure)
    return figure
