"""Average precision of detectors, at single IoUs too: where boxes have to be good."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from detectron2.evaluation import COCOEvaluator
from pycocotools.cocoeval import COCOeval


class DetectionEvaluator(COCOEvaluator):
    """Detectron2's ``COCOEvaluator`` with further columns, such as ``AP90``.

    COCO's summary has the IoUs 0.5 and 0.75; papers about good boxes compare 0.9 (CPM R-CNN, Table
    4 and Figure 8).

    Args:
        ious: in steps of 0.05 from 0.5 to 0.95, besides the two of COCO's summary.
        args, kwargs: those of ``COCOEvaluator``.

    Raises:
        ValueError: if an IoU is none that COCO evaluates.
    """

    def __init__(
        self, *args: Any, ious: Sequence[float] = (0.6, 0.7, 0.8, 0.9), **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.ious = tuple(float(iou) for iou in ious)
        for iou in self.ious:
            steps = (iou - 0.5) / 0.05
            if not (-1e-6 < steps < 9 + 1e-6 and abs(steps - round(steps)) < 1e-6):
                raise ValueError(f"COCO evaluates IoUs of 0.5, 0.55, ..., 0.95, not {iou}.")

    def _derive_coco_results(
        self,
        coco_eval: COCOeval | None,
        iou_type: str,
        class_names: Sequence[str] | None = None,
    ) -> dict[str, float]:
        """Detectron2's results, and ``AP90`` etc., in per cent."""
        results = super()._derive_coco_results(coco_eval, iou_type, class_names)
        for iou in self.ious:
            key = f"AP{round(100 * iou)}"
            results[key] = float("nan") if coco_eval is None else precision_at(coco_eval, iou)
        return results


def precision_at(coco_eval: COCOeval, iou: float) -> float:
    """Average precision at one IoU, of all classes and sizes, in per cent; NaN without objects."""
    (index,) = np.flatnonzero(np.isclose(coco_eval.params.iouThrs, iou))
    # (IoUs, recalls, classes, sizes, numbers of detections): objects of any size, most detections
    precision = coco_eval.eval["precision"][index, :, :, 0, -1]
    precision = precision[precision > -1]
    return float(100 * precision.mean()) if precision.size else float("nan")
