"""Average precision of detectors, at single IoUs too: where boxes have to be good."""

from __future__ import annotations

import contextlib
import io
import logging
import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from detectron2.evaluation import COCOEvaluator
from pycocotools.cocoeval import COCOeval
from tabulate import tabulate

from .results_file import results_path, shortest, write_coco_results

logger = logging.getLogger(__name__)

RESULTS_FILE = "coco_instances_results"


class DetectionEvaluator(COCOEvaluator):
    """Detectron2's ``COCOEvaluator`` with further columns, such as ``AP90``.

    COCO's summary has the IoUs 0.5 and 0.75; papers about good boxes compare others too (CPM R-CNN,
    Table 4 and Figure 8). For test images whose file has no ``annotations``, or metadata
    ``has_annotations=False``, there are no results; the detections are written all the same.

    Args:
        dataset_name, tasks, distributed: as of ``COCOEvaluator``.
        output_dir: folder for ``coco_instances_results<suffix>.json``, the detections in the form
            of COCO's results; None writes none.
        ious: in steps of 0.05 from 0.5 to 0.95, besides the two of COCO's summary.
        suffix: to the name of that file.
        max_dets_per_image: how many detections of an image count, the best; 100 by COCO's rule.
        kwargs: further ones of ``COCOEvaluator``.

    Raises:
        ValueError: if an IoU is none that COCO evaluates, or the suffix has a ``/``.
    """

    def __init__(
        self,
        dataset_name: str,
        tasks: Sequence[str] | None = None,
        distributed: bool = True,
        output_dir: str | None = None,
        *,
        ious: Sequence[float] = (0.55, 0.6, 0.65, 0.7, 0.8, 0.85, 0.9, 0.95),
        suffix: str = "",
        max_dets_per_image: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            dataset_name,
            tasks,
            distributed,
            output_dir,
            max_dets_per_image=max_dets_per_image,
            **kwargs,
        )
        # What the base class logs and prints of the results is said by whoever evaluates; and what
        # it writes besides, a pickle of the same detections, serves nobody.
        self._logger = logging.getLogger(f"{__name__}.detectron2")
        self._logger.setLevel(logging.WARNING)
        self._output_dir = None
        self._file = results_path(output_dir, RESULTS_FILE, suffix)
        self._do_evaluation &= self._metadata.get("has_annotations", True)
        self.ious = tuple(float(iou) for iou in ious)
        for iou in self.ious:
            steps = (iou - 0.5) / 0.05
            if not (-1e-6 < steps < 9 + 1e-6 and abs(steps - round(steps)) < 1e-6):
                raise ValueError(f"COCO evaluates IoUs of 0.5, 0.55, ..., 0.95, not {iou}.")

    @property
    def has_annotations(self) -> bool:
        """Whether there is something to evaluate against."""
        return self._do_evaluation

    def _eval_predictions(
        self, predictions: list[dict[str, Any]], img_ids: list[Any] | None = None
    ) -> None:
        if self._file:
            os.makedirs(os.path.dirname(self._file), exist_ok=True)
            count = write_coco_results(self._file, self._records(predictions))
            logger.info("%d detections are written to %s.", count, self._file)
        with contextlib.redirect_stdout(io.StringIO()):  # of pycocotools
            super()._eval_predictions(predictions, img_ids=img_ids)

    def _records(self, predictions: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """The detections with the ids of categories that the annotations have."""
        to_class = self._metadata.get("thing_dataset_id_to_contiguous_id")
        to_id = {index: id for id, index in to_class.items()} if to_class else None
        for prediction in predictions:
            for found in prediction["instances"]:
                index = found["category_id"]
                if to_id is not None and index not in to_id:
                    raise ValueError(
                        f"The model found class {index}, but its test data have {len(to_id)} "
                        "classes: give the data it was trained for."
                    )
                record = {**found, "category_id": index if to_id is None else to_id[index]}
                record["bbox"] = shortest(found["bbox"])
                record["score"] = shortest([found["score"]])[0]
                yield record

    def _derive_coco_results(
        self,
        coco_eval: COCOeval | None,
        iou_type: str,
        class_names: Sequence[str] | None = None,
    ) -> dict[str, float]:
        """Detectron2's results, ``AP90`` etc., and ``AP-<category>``, in per cent."""
        results = super()._derive_coco_results(coco_eval, iou_type)
        for iou in self.ious:
            key = f"AP{round(100 * iou)}"
            results[key] = float("nan") if coco_eval is None else precision_at(coco_eval, iou)
        if coco_eval is not None and class_names is not None and len(class_names) > 1:
            per_class = self._precision_of_classes(coco_eval, class_names)
            logger.info("AP of each category (%s):\n%s", iou_type, _columns(per_class))
            results |= {f"AP-{name}": value for name, value in per_class.items()}
        return results

    def _precision_of_classes(
        self, coco_eval: COCOeval, class_names: Sequence[str]
    ) -> dict[str, float]:
        """AP of every category by its name, in per cent.

        COCOeval has them in the order of their ids; the classes of a model may be in another.
        """
        ids = coco_eval.params.catIds
        to_class = self._metadata.get("thing_dataset_id_to_contiguous_id")
        names = [class_names[to_class[id] if to_class else i] for i, id in enumerate(ids)]
        precision = coco_eval.eval["precision"]
        return {name: _mean(precision[:, :, i, 0, -1]) for i, name in enumerate(names)}


def precision_at(coco_eval: COCOeval, iou: float) -> float:
    """Average precision at one IoU, of all classes and sizes, in per cent; NaN without objects."""
    (index,) = np.flatnonzero(np.isclose(coco_eval.params.iouThrs, iou))
    # (IoUs, recalls, classes, sizes, numbers of detections): objects of any size, most detections
    return _mean(coco_eval.eval["precision"][index, :, :, 0, -1])


def _mean(precision: np.ndarray) -> float:
    """In per cent, over what has a value; NaN if nothing has."""
    precision = precision[precision > -1]
    return float(100 * precision.mean()) if precision.size else float("nan")


def _columns(values: dict[str, float], pairs: int = 3) -> str:
    """A table of names and values, several pairs in a line."""
    cells = list(values.items())
    rows = [[x for pair in cells[i : i + pairs] for x in pair] for i in range(0, len(cells), pairs)]
    headers = ["category", "AP"] * min(pairs, len(cells))
    return tabulate(rows, headers, tablefmt="github", floatfmt=".2f")
