"""Statistics in the event storage."""

from __future__ import annotations

import torch
from detectron2.utils.events import EventStorage

from cascade_rpn_d2.modeling.statistics import put_statistics


def test_statistics_are_put_once_in_a_period():
    statistics = {"iou": torch.tensor(0.5)}
    put_statistics("rpn/", statistics, 1)  # nowhere to put them
    with EventStorage() as storage:
        for iteration in range(4):
            put_statistics("rpn/", {"iou": torch.tensor(float(iteration))}, 2)
            storage.step()
        assert storage.history("rpn/iou").values() == [(1.0, 1), (3.0, 3)]
