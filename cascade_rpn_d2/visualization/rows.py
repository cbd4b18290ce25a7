"""The rows of a table as a plot: panels side by side, each with a line per metric."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from .canvas import RGBImage
from .curves import render

Column = Sequence[float | None]


def plot_rows(
    rows: Sequence[str],
    panels: Mapping[str, Mapping[str, Column]],
    *,
    title: str = "",
    size: tuple[int, int] = (1000, 460),
) -> RGBImage:
    """Plot the columns of a table over its rows, in panels with scales of their own.

    What can be compared between the panels is the course of a line, not its height.

    Args:
        rows: names of the rows, in order.
        panels: name of a panel -> name of a metric -> a value for each row, None for no value.
        title: words above.
        size: width and height of the picture in pixels.

    Returns:
        (height, width, 3) uint8, RGB.

    Raises:
        ValueError: if there is nothing to plot, or a column of another length than the rows.
    """
    if not rows or not panels:
        raise ValueError("There is no row to plot.")
    figure = Figure(figsize=(size[0] / 100, size[1] / 100), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    places = np.arange(len(rows))
    for axes, (panel, columns) in zip(
        figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True
    ):
        for name, column in columns.items():
            if len(column) != len(rows):
                raise ValueError(f"'{name}' has {len(column)} values for {len(rows)} rows.")
            values = np.array([np.nan if v is None else v for v in column], dtype=np.float64)
            axes.plot(places, values, marker="o", markersize=5, linewidth=2, label=name)
            for place, value in zip(places, values, strict=True):
                if np.isfinite(value):
                    axes.annotate(
                        f"{value:.1f}",
                        (place, value),
                        xytext=(0, 6),
                        textcoords="offset points",
                        ha="center",
                        fontsize=8,
                    )
        axes.set_title(panel, fontsize="medium")
        axes.set_xticks(places, list(rows), rotation=30, ha="right", fontsize="small")
        axes.margins(x=0.08, y=0.12)
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, loc="best", fontsize="small")
    figure.suptitle(title, fontsize="medium")
    return render(figure)
