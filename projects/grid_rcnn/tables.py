"""The released models of Grid R-CNN and Grid R-CNN Plus: configs here, and published numbers."""

from __future__ import annotations

from cascade_rpn_d2.reproduce import Row, Table
from cascade_rpn_d2.reproduce.table import AVERAGE_PRECISION

VAL = "COCO val2017"


def config(name: str, trunk: str = "r50", schedule: str = "2x") -> str:
    return f"grid_rcnn/{name}_{trunk}_fpn_{schedule}.py"


TABLES = {
    "mmdet": Table(
        "mmdet's models",
        AVERAGE_PRECISION[:1],
        VAL,
        (
            Row("R-50, 1x", config("grid_rcnn", schedule="1x"), (None,)),
            Row("R-50, 2x", config("grid_rcnn"), (40.4,)),
            Row("R-101, 2x", config("grid_rcnn", "r101"), (41.5,)),
            Row("X-101-32x4d, 2x", config("grid_rcnn", "x101_32x4d"), (42.9,)),
            Row("X-101-64x4d, 2x", config("grid_rcnn", "x101_64x4d"), (43.0,)),
        ),
    ),
    "plus": Table(
        "Grid R-CNN Plus by its authors",
        AVERAGE_PRECISION,
        "COCO minival, the images of val2017",
        (
            Row("R-50", None, (37.4, 59.3, 40.3, 21.8, 40.9, 47.9), seconds=0.09),
            Row(
                "R-50, Grid R-CNN Plus",
                config("grid_rcnn_plus"),
                (40.4, 58.6, 43.7, 23.2, 44.2, 52.4),
                seconds=0.11,
            ),
            Row("R-101", None, (39.5, 61.2, 43.1, 22.7, 43.7, 50.8), seconds=0.12),
            Row(
                "R-101, Grid R-CNN Plus",
                config("grid_rcnn_plus", "r101"),
                (42.0, 60.6, 45.4, 24.1, 46.2, 55.2),
                seconds=0.13,
            ),
        ),
    ),
    "proposals": Table(
        "Not in the papers: Grid R-CNN on other proposals",
        AVERAGE_PRECISION,
        VAL,
        (
            Row("RPN", config("grid_rcnn"), (40.4, None, None, None, None, None)),
            Row("GA-RPN, 300", config("ga_rpn_grid_rcnn"), (None,) * 6),
            Row("Cascade RPN, 300", config("cascade_rpn_grid_rcnn"), (None,) * 6),
        ),
    ),
}
