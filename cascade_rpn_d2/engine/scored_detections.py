"""The detections of a dataset that are of an object, with all their scores and the IoU that they
really have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from tqdm import tqdm

from .grid_traces import trace_grid
from .labelled_images import classes_of, objects_of, read_record
from .predictor import BatchPredictor

# So near to the border of its image, in pixels, an object counts as cut by it: annotators leave a
# pixel or two.
_BORDER = 2.0


@dataclass(frozen=True)
class ScoredDetections:
    """n detections of the images of a dataset.

    Args:
        images: how many images were looked at.
        image: (n,) index of the image.
        boxes: (n, 4) XYXY in pixels of the image.
        objects: (n, 4) the object of each.
        classes: (n,).
        ious: (n,) of box and object.
        cut: (n,) bool, whether the border of the image cuts the object.
        scores: name -> (n,); the last one ranks the detections.
    """

    images: int
    image: npt.NDArray[np.int64]
    boxes: npt.NDArray[np.float64]
    objects: npt.NDArray[np.float64]
    classes: npt.NDArray[np.int64]
    ious: npt.NDArray[np.float64]
    cut: npt.NDArray[np.bool_]
    scores: dict[str, npt.NDArray[np.float64]]

    def __len__(self) -> int:
        return len(self.ious)


def score_detections(
    predictor: BatchPredictor, records: Sequence[dict[str, Any]], *, min_iou: float = 0.5
) -> ScoredDetections:
    """The detections of a point-guided detector that are of an object.

    Args:
        predictor: with the detector.
        records: Detectron2's dicts of the images, with ``annotations``.
        min_iou: above 0; a detection that overlaps less with every object of its class is of none.

    Raises:
        ValueError: if the model is no point-guided detector, no detection is of an object, or
            ``min_iou`` is no such number.
        OSError: if an image cannot be read.
    """
    if not 0 < min_iou <= 1:
        raise ValueError(
            f"A detection of an object overlaps with it: min_iou is in (0, 1], not {min_iou:g}."
        )
    parts = []
    for number, record in enumerate(tqdm(records, unit="image", disable=None)):
        trace = trace_grid(predictor, read_record(record, predictor.reader))
        objects = objects_of(record)
        index, ious = trace.match(objects, classes_of(record))
        found = (ious >= min_iou).nonzero()[:, 0]
        own = objects[index[found]]
        height, width = trace.image_size
        limit = own.new_tensor([width, height]) - _BORDER
        cut = (own[:, :2] <= _BORDER).any(dim=1) | (own[:, 2:] >= limit).any(dim=1)
        parts.append(
            {
                "image": torch.full_like(found, number),
                "boxes": trace.clipped()[found].double(),
                "objects": own.double(),
                "classes": trace.classes[found],
                "ious": ious[found].double(),
                "cut": cut,
                **{name: score[found].double() for name, score in trace.scores.items()},
            }
        )
    merged = {name: torch.cat([part[name] for part in parts]).numpy() for name in parts[0]}
    if not len(merged["ious"]):
        raise ValueError(
            f"No detection overlaps with an object of its class by {min_iou:g} on "
            f"{len(records)} images: give trained weights, and the dataset that they are for."
        )
    scores = {name: merged.pop(name) for name in trace.scores}
    return ScoredDetections(images=len(records), scores=scores, **merged)
