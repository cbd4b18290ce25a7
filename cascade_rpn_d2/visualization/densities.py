"""Densities of positive quantities over a logarithmic axis, those of several groups over each
other (Guided Anchoring, Figure 6)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from .canvas import RGBImage
from .curves import plain_row, render


@dataclass(frozen=True)
class Density:
    """How values are distributed.

    Args:
        edges: (n+1,) log2 of the edges of the bins, ascending.
        values: (n,) shares of all values per octave.
    """

    edges: npt.NDArray[np.float64]
    values: npt.NDArray[np.float64]


def plot_densities(
    panels: Mapping[str, Mapping[str, Density]], *, size: tuple[int, int] = (1000, 380)
) -> RGBImage:
    """Plot the densities of each quantity in a panel, a colour per group.

    Args:
        panels: words below a panel -> name of a group -> its density; all panels have the groups of
            the first.
        size: width and height of the picture in pixels.

    Returns:
        (height, width, 3) uint8, RGB.

    Raises:
        ValueError: if there is nothing to plot, a panel has other groups, or a density has not one
            value for each of its bins.
    """
    return render(densities_figure(panels, size=size))


def densities_figure(
    panels: Mapping[str, Mapping[str, Density]], *, size: tuple[int, int] = (1000, 380)
) -> Figure:
    """The figure behind :func:`plot_densities`, to be changed or saved as vectors."""
    groups = list(next(iter(panels.values()), {}))
    if not groups:
        raise ValueError("There is no density to plot.")
    row = plain_row(size, len(panels))
    for axes, (words, densities) in zip(row, panels.items(), strict=True):
        if list(densities) != groups:
            raise ValueError(f"'{words}' must have densities of {', '.join(groups)}.")
        for number, (name, density) in enumerate(densities.items()):
            if len(density.edges) != len(density.values) + 1:
                raise ValueError(f"'{name}' must have a value for each of its bins.")
            axes.stairs(
                density.values, density.edges, fill=True, color=f"C{number}", alpha=0.3, label=name
            )
            axes.stairs(density.values, density.edges, color=f"C{number}", linewidth=1.5)
        axes.set_xlabel(words)
        axes.set_xlim(
            min(density.edges[0] for density in densities.values()),
            max(density.edges[-1] for density in densities.values()),
        )
        axes.set_ylim(bottom=0)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda octaves, _: power_of_two(octaves)))
    row[0].set_ylabel("density per octave")
    figure = row[0].figure
    assert isinstance(figure, Figure)
    handles = row[0].get_legend_handles_labels()[0]
    figure.legend(handles, groups, loc="outside upper center", ncols=len(groups), frameon=False)
    return figure


def power_of_two(octaves: float) -> str:
    """Two to the power of a whole number in words: ``"64"``, ``"1/4"``."""
    return str(Fraction(2) ** round(octaves))
