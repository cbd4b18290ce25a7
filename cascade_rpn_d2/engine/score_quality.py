"""How well the scores of detections tell the IoU that these really have (CPM R-CNN, Figure 1
below)."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from tabulate import tabulate

from ..visualization.score_ious import binned_means
from .model_choices import ModelChoice
from .output_files import write_json
from .scored_detections import ScoredDetections


class Correlation(NamedTuple):
    """How a score goes with the IoU: from -1, against it, over 0, not at all, to 1.

    Attributes:
        pearson: of the values.
        spearman: of their ranks, which is all that AP knows of scores.
    """

    pearson: float
    spearman: float


def correlate(scores: npt.NDArray[np.float64], ious: npt.NDArray[np.float64]) -> Correlation:
    """The correlation of scores (n,) with IoUs (n,); NaN where all of one are equal."""
    return Correlation(_pearson(scores, ious), _pearson(_ranks(scores), _ranks(ious)))


def correlations(found: ScoredDetections) -> dict[str, Correlation]:
    """That of every score, by its name."""
    return {name: correlate(values, found.ious) for name, values in found.scores.items()}


def quality_table(found: ScoredDetections) -> str:
    """A row per score: its mean, and how it goes with the IoU."""
    rows = [
        [name, found.scores[name].mean(), *correlation]
        for name, correlation in correlations(found).items()
    ]
    rows.append(["true IoU", found.ious.mean(), None, None])
    headers = ["", "mean", "correlation with the IoU", "of the ranks"]
    return tabulate(rows, headers, tablefmt="github", floatfmt=".3f")


def border_table(found: ScoredDetections) -> str:
    """Means over objects that are whole and over those that the border of the image cuts."""
    groups = {"whole": ~found.cut, "cut by the border": found.cut}
    rows = [
        [name, int(own.sum()), *(values[own].mean() for values in _with_iou(found).values())]
        for name, own in groups.items()
        if own.any()
    ]
    headers = ["objects", "detections", *_with_iou(found)]
    return tabulate(rows, headers, tablefmt="github", floatfmt=".3f")


def _with_iou(found: ScoredDetections) -> dict[str, npt.NDArray[np.float64]]:
    return {"true IoU": found.ious, **found.scores}


def write_quality(path: Path, dataset: str, model: ModelChoice, found: ScoredDetections) -> None:
    """Write correlations and means as json.

    Args:
        path: of the file; its folder exists.
        dataset: name of the dataset.
        model: where the detections are from.
        found: the detections.

    Raises:
        OSError: if the file cannot be written.
    """
    scores = {}
    for name, correlation in correlations(found).items():
        score, iou = binned_means(found.scores[name], found.ious)
        scores[name] = {**correlation._asdict(), "bins": {"mean_score": score, "mean_iou": iou}}
    content = {
        "dataset": dataset,
        "model": model.description(),
        "images": found.images,
        "detections": len(found),
        "mean_iou": float(found.ious.mean()),
        "scores": scores,
    }
    write_json(path, content)


def _pearson(one: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> float:
    if len(one) < 2 or one.std() == 0 or other.std() == 0:
        return float("nan")
    return float(np.corrcoef(one, other)[0, 1])


def _ranks(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Ranks (n,) from 0; equal values share the mean of theirs."""
    _, index, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = counts.cumsum()
    return (last - (counts + 1) / 2)[index]
