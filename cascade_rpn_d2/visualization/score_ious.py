"""How well scores tell the IoU of detections with their objects (CPM R-CNN, Figure 1 below)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from .canvas import RGBImage
from .curves import plain_row, render

_BINS = 10
# A mean of fewer detections would be no more than noise.
_LEAST_OF_BIN = 5


def plot_score_ious(
    scores: Mapping[str, Sequence[float]],
    ious: Sequence[float],
    *,
    titles: Mapping[str, str] | None = None,
    size: tuple[int, int] = (1000, 420),
) -> RGBImage:
    """Plot the IoU of detections over their scores, a panel per score.

    A dot is a detection; the line goes through the mean IoUs of detections with about one score,
    and the dashed one is where score and IoU are equal.

    Args:
        scores: name of a score -> (n,) scores from 0 to 1.
        ious: (n,) of the detections with their objects.
        titles: name of a score -> what to write above its panel; its name if there is none.
        size: width and height of the picture in pixels.

    Returns:
        (height, width, 3) uint8, RGB.

    Raises:
        ValueError: if there is no score or no detection, or not one score for each detection.
    """
    return render(score_ious_figure(scores, ious, titles=titles, size=size))


def score_ious_figure(
    scores: Mapping[str, Sequence[float]],
    ious: Sequence[float],
    *,
    titles: Mapping[str, str] | None = None,
    size: tuple[int, int] = (1000, 420),
) -> Figure:
    """The figure behind :func:`plot_score_ious`, to be changed or saved as vectors."""
    y = np.asarray(ious, dtype=np.float64)
    if not scores or not len(y):
        raise ValueError("There is no detection to plot, or no score.")
    row = plain_row(size, len(scores))
    for number, (axes, (name, values)) in enumerate(zip(row, scores.items(), strict=True)):
        x = np.asarray(values, dtype=np.float64)
        if x.shape != y.shape:
            raise ValueError(f"'{name}' has {x.size} scores for {y.size} detections.")
        color = f"C{number}"
        axes.scatter(x, y, s=9, color=color, alpha=0.35, linewidths=0, rasterized=True)
        axes.plot((0, 1), (0, 1), color="0.5", linewidth=1, linestyle="--")
        centers, means = binned_means(x, y)
        axes.plot(centers, means, color="0.15", linewidth=2, marker="o", markersize=4)
        axes.set(xlim=(0, 1), ylim=(min(0.5, float(y.min())), 1), xlabel=f"score: {name}")
        axes.set_title((titles or {}).get(name, name), fontsize="medium")
    row[0].set_ylabel("true IoU")
    figure = row[0].figure
    assert isinstance(figure, Figure)
    return figure


def binned_means(scores: npt.ArrayLike, ious: npt.ArrayLike) -> tuple[list[float], list[float]]:
    """Means of the detections in ten equal ranges of the score, as far as there are some.

    Args:
        scores: (n,).
        ious: (n,).

    Returns:
        Mean scores and mean IoUs of the ranges with at least five detections.
    """
    x, y = np.asarray(scores, np.float64), np.asarray(ious, np.float64)
    bins = np.minimum((x * _BINS).astype(np.int64), _BINS - 1)
    full = [k for k in range(_BINS) if (bins == k).sum() >= _LEAST_OF_BIN]
    return [float(x[bins == k].mean()) for k in full], [float(y[bins == k].mean()) for k in full]
