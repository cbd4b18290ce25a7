"""Detections of objects that are whole and of objects that the border of the image cuts, with their
scores (CPM R-CNN, Figures 5 and 6)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..data.image_file import DEFAULT_READER, ImageReader
from ..visualization import ScoredBox, draw_scored_boxes
from ..visualization.canvas import RGBImage
from .labelled_images import read_record
from .scored_detections import ScoredDetections

# Objects with a shorter side, in pixels, are shown only if there are not enough others.
_LEAST_SIDE = 24.0


def draw_scores(
    found: ScoredDetections,
    records: Sequence[dict[str, Any]],
    *,
    class_names: Sequence[str] = (),
    columns: int = 3,
    score_threshold: float = 0.5,
    width: int = 1120,
    reader: ImageReader = DEFAULT_READER,
) -> RGBImage:
    """Draw detections with their scores: a row of whole objects, and a row of objects that are cut.

    A row goes from the detection of the lowest to that of the highest IoU, evenly by rank.

    Args:
        found: the detections of a dataset.
        records: Detectron2's dicts of its images.
        class_names: of the classes, as far as they are known.
        columns: detections of a row.
        score_threshold: only detections that the classification scores as high are shown; what
            everyone can see is wrong needs no second score.
        width: pixels of the picture.
        reader: reads the images.

    Returns:
        (H, width, 3) uint8, RGB.

    Raises:
        ValueError: if no detection has such a score.
        OSError: if an image cannot be read.
    """
    classification = next(iter(found.scores.values()))
    shown = []
    for words, cut in (("whole", False), ("cut by the border", True)):
        candidates = np.nonzero((found.cut == cut) & (classification >= score_threshold))[0]
        for index in choose_examples(found, candidates, columns):
            number = int(found.classes[index])
            known = number < len(class_names)
            name = class_names[number] if known else f"class {number}"
            shown.append(
                ScoredBox(
                    read_record(records[found.image[index]], reader)[:, :, ::-1],
                    found.boxes[index],
                    found.objects[index],
                    float(found.ious[index]),
                    {key: float(values[index]) for key, values in found.scores.items()},
                    f"{name}, {words}",
                )
            )
    if not shown:
        raise ValueError(
            f"The classification scores none of the {len(found)} detections of an object "
            f"{score_threshold:g} or higher: give --score-threshold {classification.max():.2f} or "
            "less."
        )
    return draw_scored_boxes(shown, columns=columns, width=width)


def choose_examples(
    found: ScoredDetections, candidates: npt.NDArray[np.int64], count: int
) -> npt.NDArray[np.int64]:
    """Of some detections those to show, from the lowest IoU to the highest.

    Args:
        found: all detections.
        candidates: (k,) indices of those to choose from.
        count: how many; fewer if there are not as many.
    """
    sides = (found.objects[candidates, 2:] - found.objects[candidates, :2]).min(axis=1)
    large = candidates[sides >= _LEAST_SIDE]
    candidates = large if len(large) >= count else candidates
    by_iou = candidates[np.argsort(found.ious[candidates], kind="stable")]
    count = min(count, len(by_iou))
    return by_iou[np.linspace(0, len(by_iou) - 1, count).round().astype(np.int64)]
