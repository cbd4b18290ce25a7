"""Curves of recall against the IoU that counts as covered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from .canvas import RGBImage


def plot_recall_curves(
    curves: Mapping[str, Sequence[float]],
    thresholds: Sequence[float],
    *,
    title: str = "",
    size: tuple[int, int] = (640, 440),
) -> RGBImage:
    """Plot recall against IoU threshold, one line per method, with its average (AR) in the legend.

    Args:
        curves: name of a method -> recall in per cent at each threshold.
        thresholds: IoU thresholds, ascending, such as 0.5, 0.55, ... 0.95.
        title: words above, such as ``"100 proposals an image"``.
        size: width and height of the picture in pixels.

    Returns:
        (height, width, 3) uint8, RGB.

    Raises:
        ValueError: if there is no curve, if one has not as many values as there are thresholds, or
            if a recall is not in per cent.
    """
    if not curves:
        raise ValueError("There is no curve to plot.")
    return render(recall_figure(curves, thresholds, title=title, size=size))


def recall_figure(
    curves: Mapping[str, Sequence[float]],
    thresholds: Sequence[float],
    *,
    title: str = "",
    size: tuple[int, int] = (640, 440),
) -> Figure:
    """The figure behind :func:`plot_recall_curves`, to be changed or saved as vectors."""
    axes = plain_axes(size)
    draw_recall_curves(axes, curves, thresholds, title=title)
    figure = axes.figure
    assert isinstance(figure, Figure)
    return figure


def draw_recall_curves(
    axes: Axes,
    curves: Mapping[str, Sequence[float]],
    thresholds: Sequence[float],
    *,
    title: str = "",
) -> None:
    """Draw what :func:`plot_recall_curves` plots on given axes."""
    x = np.asarray(thresholds, dtype=np.float64)
    for name, values in curves.items():
        y = np.asarray(values, dtype=np.float64)
        if y.shape != x.shape:
            raise ValueError(f"'{name}' has {y.size} recalls for {x.size} IoU thresholds.")
        if not ((y >= 0) & (y <= 100)).all():
            raise ValueError(f"The recalls of '{name}' must be in per cent, from 0 to 100.")
        axes.plot(
            x,
            y,
            marker="o",
            markersize=4,
            linewidth=2,
            label=f"{name}  (AR {y.mean():.1f})",
            clip_on=False,
        )
    axes.set(xlabel="IoU threshold", ylabel="recall (%)", title=title, ylim=(0, 100))
    axes.set_xlim(x.min(), x.max())
    axes.legend(frameon=False, loc="lower left")


def plain_axes(size: tuple[int, int]) -> Axes:
    """Axes of a new figure of ``size`` (width, height) in pixels, as all our plots have them."""
    return plain_row(size, 1)[0]


def plain_row(size: tuple[int, int], count: int) -> list[Axes]:
    """``count`` axes beside each other in a new figure of ``size`` (width, height) in pixels."""
    # A figure of its own rather than pyplot's: no global state, no display, no figure left open.
    figure = Figure(figsize=(size[0] / 100, size[1] / 100), dpi=100, layout="constrained")
    row = list(figure.subplots(1, count, squeeze=False)[0])
    for axes in row:
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    return row


def render(figure: Figure) -> RGBImage:
    """A figure as (height, width, 3) uint8, RGB."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
