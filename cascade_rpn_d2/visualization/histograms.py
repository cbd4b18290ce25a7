"""Distributions of several quantities, those of several groups over each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from .canvas import RGBImage
from .curves import plain_row, render

# Of the values of a quantity, how many the axis shows; a few far ones would flatten the rest.
_SHOWN = 0.995
_BINS = 31


def plot_histograms(
    groups: Mapping[str, Any],
    names: Sequence[str],
    *,
    title: str = "",
    xlabel: str = "",
    size: tuple[int, int] = (1000, 320),
) -> RGBImage:
    """Plot the distribution of each quantity in a panel, a colour per group.

    Every panel has an axis symmetric about zero, on which the groups can be compared by eye; the
    legend of a panel has the mean and the standard deviation of every group.

    Args:
        groups: name of a group -> (n, k) values of its k quantities.
        names: the k names of the quantities.
        title: words above.
        xlabel: words below.
        size: width and height of the picture in pixels.

    Returns:
        (height, width, 3) uint8, RGB.

    Raises:
        ValueError: if there is no group, or one without values, with values that are not finite, or
            not of k quantities.
    """
    return render(histograms_figure(groups, names, title=title, xlabel=xlabel, size=size))


def histograms_figure(
    groups: Mapping[str, Any],
    names: Sequence[str],
    *,
    title: str = "",
    xlabel: str = "",
    size: tuple[int, int] = (1000, 320),
) -> Figure:
    """The figure behind :func:`plot_histograms`, to be changed or saved as vectors."""
    if not groups:
        raise ValueError("There is no group of values to plot.")
    values = {name: np.asarray(group, dtype=np.float64) for name, group in groups.items()}
    for name, group in values.items():
        if group.ndim != 2 or group.shape[1] != len(names) or not len(group):
            raise ValueError(
                f"'{name}' must have at least one row of {len(names)} values, not shape "
                f"{group.shape}."
            )
        if not np.isfinite(group).all():
            raise ValueError(f"The values of '{name}' must be finite.")
    axes_row = plain_row(size, len(names))
    for column, (axes, name) in enumerate(zip(axes_row, names, strict=True)):
        limit = max(np.quantile(np.abs(group[:, column]), _SHOWN) for group in values.values())
        limit = max(float(limit), 1e-3)
        edges = np.linspace(-limit, limit, _BINS + 1).tolist()
        for number, group in enumerate(values.values()):
            shown = group[:, column]
            # The density of all values, not only of those that the axis shows.
            weights = np.full(len(shown), 1.0 / (len(shown) * (edges[1] - edges[0])))
            axes.hist(
                shown,
                edges,
                weights=weights,
                histtype="stepfilled",
                color=f"C{number}",
                alpha=0.35,
                label=f"{round(shown.mean(), 2) + 0.0:.2f} ± {shown.std():.2f}",  # no -0.00
            )
            axes.hist(shown, edges, weights=weights, histtype="step", color=f"C{number}")
        axes.set_xlim(-limit, limit)
        axes.set_ylim(0, axes.get_ylim()[1] * (1.2 + 0.13 * len(values)))  # room for the legend
        axes.set_title(name, fontsize="medium")
        axes.set_yticks([])
        axes.legend(
            frameon=False,
            loc="upper right",
            fontsize="small",
            handlelength=1.0,
            title="mean ± std",
            title_fontsize="small",
            alignment="left",
        )
    figure = axes_row[0].figure
    assert isinstance(figure, Figure)
    axes_row[0].set_ylabel("density")
    if xlabel:
        figure.supxlabel(xlabel, fontsize="medium")
    if title:
        figure.suptitle(title, fontsize="medium")
    handles = axes_row[0].get_legend_handles_labels()[0]
    figure.legend(
        handles, list(values), loc="outside upper center", ncols=len(values), frameon=False
    )
    return figure
