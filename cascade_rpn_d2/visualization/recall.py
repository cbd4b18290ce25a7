"""Recall against IoU and against the number of proposals, beside each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from .canvas import RGBImage
from .curves import draw_recall_curves, plain_row, render
from .lines import draw_lines


def plot_recall(
    recalls: Mapping[str, Sequence[float]],
    thresholds: Sequence[float],
    averages: Mapping[str, Sequence[tuple[float, float]]],
    *,
    number: int,
    size: tuple[int, int] = (1000, 420),
) -> RGBImage:
    """Plot how many objects the proposals of several methods find.

    Args:
        recalls: name of a method -> recall in per cent at each threshold.
        thresholds: IoU thresholds, ascending, such as 0.5, 0.55, ... 0.95.
        averages: name of a method -> (number of proposals, average recall in per cent).
        number: of proposals that ``recalls`` is at.
        size: width and height of the picture in pixels.

    Returns:
        (height, width, 3) uint8, RGB.

    Raises:
        ValueError: as :func:`~.curves.plot_recall_curves` and :func:`~.lines.plot_lines`.
    """
    return render(recall_pair_figure(recalls, thresholds, averages, number=number, size=size))


def recall_pair_figure(
    recalls: Mapping[str, Sequence[float]],
    thresholds: Sequence[float],
    averages: Mapping[str, Sequence[tuple[float, float]]],
    *,
    number: int,
    size: tuple[int, int] = (1000, 420),
) -> Figure:
    """The figure behind :func:`plot_recall`, to be changed or saved as vectors."""
    if not recalls:
        raise ValueError("There is no curve to plot.")
    left, right = plain_row(size, 2)
    noun = "proposal" if number == 1 else "proposals"
    draw_recall_curves(left, recalls, thresholds, title=f"{number} {noun} an image")
    draw_lines(
        right,
        averages,
        xlabel="proposals an image",
        ylabel="average recall (%)",
        title=f"IoU {min(thresholds):.2f} to {max(thresholds):.2f}",
        log_x=True,
    )
    left.set_title(left.get_title(), fontsize="medium")
    right.set_ylim(0, 100)
    right.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))  # not 10^2
    right.legend(frameon=False, loc="upper left")
    figure = left.figure
    assert isinstance(figure, Figure)
    return figure
