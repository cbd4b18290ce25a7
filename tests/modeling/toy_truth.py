"""A small pyramid, and objects on it."""

from __future__ import annotations

import torch
from detectron2.structures import Boxes, Instances

from cascade_rpn_d2.modeling import Grid, GroundTruth

GRIDS = [Grid(64, 64, 4), Grid(32, 32, 8), Grid(16, 16, 16), Grid(8, 8, 32), Grid(4, 4, 64)]
NUM_CELLS = sum(grid.cells for grid in GRIDS)


def ground_truth(*images: list[tuple[float, ...]]) -> GroundTruth:
    instances = []
    for boxes in images:
        x = Instances((256, 256))
        x.gt_boxes = Boxes(torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4))
        instances.append(x)
    return GroundTruth.from_instances(instances)
