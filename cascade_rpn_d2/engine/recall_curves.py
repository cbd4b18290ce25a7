"""Recall of the proposals of several models, against IoU and against their number.

Recall is counted as for the papers' tables, by
:class:`~cascade_rpn_d2.evaluation.ProposalRecallEvaluator`. Whatever gives proposals of a dataset's
images can be measured: :func:`recall_of_proposals` takes them from anywhere, :func:`measure_recall`
from a model.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from detectron2.structures import Instances
from tabulate import tabulate

from ..evaluation import ProposalRecallEvaluator
from ..evaluation.matching import IOU_THRESHOLDS
from .generators import run_proposals
from .model_choices import ModelChoice
from .output_files import write_json
from .predictor import BatchPredictor

NUMBERS = (1, 2, 5, 10, 20, 50, 100, 200, 300, 500, 1000)


@dataclass(frozen=True)
class RecallCurves:
    """The recall of one model's proposals.

    Args:
        numbers: of proposals an image, ascending.
        recalls: (M, T) recall in per cent at every number and IoU threshold of
            ``evaluation.matching.IOU_THRESHOLDS``.
    """

    numbers: tuple[int, ...]
    recalls: npt.NDArray[np.float64]

    def against_iou(self, number: int) -> list[float]:
        """Recall in per cent at every IoU threshold.

        Raises:
            ValueError: if the number of proposals was not measured.
        """
        if number not in self.numbers:
            raise ValueError(f"Recall was measured at {self.numbers} proposals, not at {number}.")
        return self.recalls[self.numbers.index(number)].tolist()

    def averages(self) -> list[tuple[float, float]]:
        """(number of proposals, average recall in per cent), ascending."""
        means = self.recalls.mean(axis=1)
        return [(float(n), float(mean)) for n, mean in zip(self.numbers, means, strict=True)]


def measure_recall(
    predictor: BatchPredictor,
    dataset: str,
    records: Sequence[dict[str, Any]],
    numbers: Sequence[int] = NUMBERS,
    *,
    batch_size: int = 4,
) -> RecallCurves:
    """The recall of a model's proposals on a dataset.

    Args:
        predictor: with a model of proposals only, or a detector, whose proposals are measured.
        dataset: name of the dataset.
        records: Detectron2's dicts of all its images.
        numbers: of proposals an image to look at.
        batch_size: images that are read at once.

    Raises:
        ValueError: if the model makes no proposals, or the dataset has no objects.
        OSError: if an image cannot be read.
    """
    found = run_proposals(predictor, records, batch_size=batch_size)
    return recall_of_proposals(dataset, found, numbers)


def recall_of_proposals(
    dataset: str,
    proposals: Iterable[tuple[dict[str, Any], Instances]],
    numbers: Sequence[int] = NUMBERS,
) -> RecallCurves:
    """The recall of given proposals on a dataset.

    Args:
        dataset: name of the dataset; its objects on images without proposals count as not found.
        proposals: records of images, of which ``image_id`` is read, and their ``proposal_boxes`` in
            pixels of the image with ``objectness_logits``.
        numbers: of proposals an image to look at.

    Raises:
        ValueError: if the dataset has no objects, or an image is not in it.
    """
    chosen = tuple(sorted(set(numbers)))
    evaluator = ProposalRecallEvaluator(dataset, chosen, distributed=False)
    evaluator.reset()
    if evaluator.num_objects == 0:
        raise ValueError(f"The dataset '{dataset}' has no object to find: give one with objects.")
    for record, instances in proposals:
        evaluator.process([record], [{"proposals": instances}])
    recalls = evaluator.recalls()
    assert recalls is not None  # of this process alone
    return RecallCurves(chosen, recalls[0])


def recall_table(curves: Mapping[str, RecallCurves]) -> str:
    """Average recall in per cent, a row per model and a column per number of proposals."""
    numbers = next(iter(curves.values())).numbers
    rows = [[name, *(mean for _, mean in curve.averages())] for name, curve in curves.items()]
    return tabulate(rows, ["AR at", *map(str, numbers)], tablefmt="github", floatfmt=".1f")


def write_recall(
    path: Path, dataset: str, models: Sequence[ModelChoice], curves: Mapping[str, RecallCurves]
) -> None:
    """Write the curves as json.

    Args:
        path: of the file; its folder exists.
        dataset: name of the dataset.
        models: where the curves are from.
        curves: of each model, by its name.

    Raises:
        OSError: if the file cannot be written.
    """
    content = {
        "dataset": dataset,
        "iou_thresholds": [round(float(t), 2) for t in IOU_THRESHOLDS],
        "models": {
            model.name: {
                **model.description(),
                "AR": {str(int(n)): mean for n, mean in curves[model.name].averages()},
                "recall": {
                    str(n): curves[model.name].against_iou(n) for n in curves[model.name].numbers
                },
            }
            for model in models
        },
    }
    write_json(path, content)
