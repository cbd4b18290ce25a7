"""How well the proposals of several models overlap with objects (Guided Anchoring, Figure 3)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from detectron2.structures import Instances
from tabulate import tabulate

from ..layers import box_iou
from .generators import run_proposals
from .labelled_images import objects_of
from .model_choices import ModelChoice
from .output_files import write_json
from .predictor import BatchPredictor

IOUS = np.linspace(1.0, 0.5, 51).round(2)
_IN_TABLE = (0.9, 0.8, 0.7, 0.6, 0.5)


@dataclass(frozen=True)
class IoUCounts:
    """Overlaps of one model's proposals.

    Args:
        images: how many were looked at.
        proposals: how many their best proposals are, of all images.
        counts: (51,) how many of these have at least each of ``IOUS`` with some object.
    """

    images: int
    proposals: int
    counts: npt.NDArray[np.int64]

    def per_image(self) -> list[float]:
        """Proposals an image that have at least each of ``IOUS`` with some object."""
        return (self.counts / self.images).tolist()

    def at(self, iou: float) -> float:
        """The same at one of ``IOUS``."""
        return self.per_image()[IOUS.tolist().index(iou)]


def measure_ious(
    predictor: BatchPredictor,
    records: Sequence[dict[str, Any]],
    limit: int = 1000,
    *,
    batch_size: int = 4,
) -> IoUCounts:
    """The overlaps of a model's proposals with the objects of a dataset.

    Args:
        predictor: with a model of proposals only, or a detector, whose proposals are measured.
        records: Detectron2's dicts of the images, with ``annotations``.
        limit: best proposals of an image to look at.
        batch_size: images that are read at once.

    Raises:
        ValueError: if the model makes no proposals, or no image has an object.
        OSError: if an image cannot be read.
    """
    if not any(len(objects_of(record)) for record in records):
        raise ValueError(
            f"None of the {len(records)} images has an object: give a dataset with annotations."
        )
    return count_ious(run_proposals(predictor, records, batch_size=batch_size), limit)


def count_ious(
    proposals: Iterable[tuple[dict[str, Any], Instances]], limit: int = 1000
) -> IoUCounts:
    """The overlaps of given proposals, each with the object that it overlaps most.

    Args:
        proposals: records of images with ``annotations``, and their ``proposal_boxes`` in pixels of
            the image with ``objectness_logits``. Regions of a crowd are no objects.
        limit: best proposals of an image to look at.
    """
    images = considered = 0
    counts = np.zeros(len(IOUS), np.int64)
    for record, found in proposals:
        order = found.objectness_logits.argsort(descending=True, stable=True)[:limit]
        boxes = found.proposal_boxes.tensor[order].cpu().double()
        images, considered = images + 1, considered + len(boxes)
        objects = objects_of(record).double()
        if len(objects) and len(boxes):
            best = box_iou(boxes[:, None], objects[None]).amax(dim=1).numpy()  # (n,)
            counts += (best[:, None] >= IOUS).sum(axis=0)
    return IoUCounts(images, considered, counts)


def iou_table(found: Mapping[str, IoUCounts]) -> str:
    """Proposals an image with at least some IoUs, a row per model."""
    rows = [
        [name, counts.proposals / counts.images, *(counts.at(iou) for iou in _IN_TABLE)]
        for name, counts in found.items()
    ]
    headers = ["proposals an image", "all", *(f"IoU ≥ {iou:g}" for iou in _IN_TABLE)]
    return tabulate(rows, headers, tablefmt="github", floatfmt=".1f")


def write_ious(
    path: Path,
    dataset: str,
    limit: int,
    models: Sequence[ModelChoice],
    found: Mapping[str, IoUCounts],
) -> None:
    """Write the curves as json.

    Args:
        path: of the file; its folder exists.
        dataset: name of the dataset.
        limit: best proposals of an image that were looked at.
        models: where the curves are from.
        found: what was measured of each model, by its name.

    Raises:
        OSError: if the file cannot be written.
    """
    content = {
        "dataset": dataset,
        "limit": limit,
        "ious": IOUS.tolist(),
        "models": {
            model.name: {
                **model.description(),
                "images": found[model.name].images,
                "proposals_per_image": found[model.name].proposals / found[model.name].images,
                "above_iou_per_image": found[model.name].per_image(),
            }
            for model in models
        },
    }
    write_json(path, content)
