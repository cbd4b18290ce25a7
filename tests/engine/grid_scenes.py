"""Detections that a test has made up, and the record of their image."""

from __future__ import annotations

import torch
from detectron2.structures import BoxMode

from cascade_rpn_d2.engine.grid_traces import GridTrace

SIZE = (60, 100)  # height and width


def made_up(boxes, classes=None, size=SIZE, **scores) -> GridTrace:
    """Detections with ``boxes`` (N+1, R, 4); their scores fall if none are given."""
    boxes = torch.tensor(boxes, dtype=torch.float32)
    stages, count = boxes.shape[0] - 1, boxes.shape[1]
    falling = torch.linspace(0.9, 0.1, count)
    return GridTrace(
        boxes,
        [torch.randn(count, 9, 28, 28) for _ in range(stages)],
        [2.0, 1.5, 1.25][:stages],
        torch.zeros(count, dtype=torch.int64) if classes is None else torch.tensor(classes),
        {name: torch.tensor(x) for name, x in scores.items()} or {"classification": falling},
        size,
    )


def record_of(*boxes, classes=None, **fields):
    """Detectron2's dict of an image with objects, of class 0 by default."""
    return {
        "annotations": [
            {"bbox": list(box), "bbox_mode": BoxMode.XYXY_ABS, "category_id": category}
            for box, category in zip(boxes, classes or [0] * len(boxes), strict=True)
        ],
        **fields,
    }
