"""Lines of one number against another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .canvas import RGBImage
from .curves import plain_axes, render


def plot_lines(
    lines: Mapping[str, Sequence[tuple[float, float]]],
    *,
    xlabel: str,
    ylabel: str,
    title: str = "",
    log_x: bool = False,
    log_y: bool = False,
    size: tuple[int, int] = (640, 440),
) -> RGBImage:
    """Plot a line per name through its points.

    Args:
        lines: name -> points (x, y), in the order to join them in.
        xlabel: words below, with the unit.
        ylabel: words at the side, with the unit.
        title: words above.
        log_x: whether x is drawn in powers of ten.
        log_y: whether y is.
        size: width and height of the picture in pixels.

    Returns:
        (height, width, 3) uint8, RGB.

    Raises:
        ValueError: if there is no line, or one without points, with a point that is not finite, or
            with one at or below zero on an axis of powers.
    """
    return render(
        lines_figure(
            lines, xlabel=xlabel, ylabel=ylabel, title=title, log_x=log_x, log_y=log_y, size=size
        )
    )


def lines_figure(
    lines: Mapping[str, Sequence[tuple[float, float]]],
    *,
    xlabel: str,
    ylabel: str,
    title: str = "",
    log_x: bool = False,
    log_y: bool = False,
    size: tuple[int, int] = (640, 440),
) -> Figure:
    """The figure behind :func:`plot_lines`, to be changed or saved as vectors."""
    axes = plain_axes(size)
    draw_lines(axes, lines, xlabel=xlabel, ylabel=ylabel, title=title, log_x=log_x, log_y=log_y)
    figure = axes.figure
    assert isinstance(figure, Figure)
    return figure


def draw_lines(
    axes: Axes,
    lines: Mapping[str, Sequence[tuple[float, float]]],
    *,
    xlabel: str,
    ylabel: str,
    title: str = "",
    log_x: bool = False,
    log_y: bool = False,
) -> None:
    """Draw what :func:`plot_lines` plots on given axes."""
    if not lines:
        raise ValueError("There is no line to plot.")
    for name, points in lines.items():
        values = np.asarray(points, dtype=np.float64).reshape(-1, 2)
        if len(values) == 0 or not np.isfinite(values).all():
            raise ValueError(f"'{name}' must have points, and only finite ones.")
        if (values[:, np.array([log_x, log_y])] <= 0).any():
            raise ValueError(f"'{name}' has a point that an axis of powers cannot show.")
        axes.plot(*values.T, marker="o", markersize=4, linewidth=2, label=name)
    axes.set(xlabel=xlabel, ylabel=ylabel)
    axes.set_title(title, fontsize="medium")
    axes.set_xscale("log" if log_x else "linear")
    axes.set_yscale("log" if log_y else "linear")
    axes.legend(frameon=False, loc="best")
