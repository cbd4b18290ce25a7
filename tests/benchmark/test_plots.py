"""Which points the pictures show."""

from __future__ import annotations

from dataclasses import replace

import cv2

from cascade_rpn_d2.benchmark.plots import active_curves, cell_curves, settings, write_plots
from cascade_rpn_d2.benchmark.row import PYRAMID, Row
from cascade_rpn_d2.benchmark.targets import FORWARD_CONV, FORWARD_TORCHVISION
from tests.benchmark.cases import TINY

SMALL = replace(TINY, image_size=(32, 32))
OTHERS = (replace(TINY, boxes="spread"), replace(TINY, batch=2))


def level(case, cells, value, reference, quantity=FORWARD_CONV, name="stride 4"):
    return Row("op", quantity, case, name, ratio=1.0, value=value, reference=reference, cells=cells)


def masked(case, active, value, name=PYRAMID):
    return Row("op", "masked", case, name, ratio=0.1, value=value, reference=8.0, active=active)


ROWS = [
    level(TINY, 480, 99.0, 99.0, name=PYRAMID),
    level(TINY, 384, 4.0, 3.0),
    level(SMALL, 64, 1.0, 0.5),
    level(TINY, 384, 4.0, 9.0, FORWARD_TORCHVISION),
    masked(TINY, 1.0, 8.5),
    masked(TINY, 0.01, 0.5),
    masked(TINY, 0.01, 0.1, "stride 4"),
    masked(SMALL, 0.01, 0.2),
    *(level(case, 384, 50.0, 50.0) for case in OTHERS),
    *(masked(case, 0.3, 50.0) for case in OTHERS),
]


def test_cells_of_all_image_sizes_are_one_line():
    assert cell_curves(ROWS, TINY) == {
        "adaptive_conv2d": [(64, 1.0), (384, 4.0)],
        "F.conv2d": [(64, 0.5), (384, 3.0)],
        "torchvision's deform_conv2d": [(384, 9.0)],
    }


def test_active_cells_stand_against_all_cells():
    assert active_curves(ROWS, TINY) == {
        "active cells only": [(1.0, 0.5), (100.0, 8.5)],
        "all cells": [(1.0, 8.0), (100.0, 8.0)],
    }


def test_a_picture_of_either_kind_for_every_number_of_threads(tmp_path):
    rows = [*ROWS, level(replace(TINY, threads=2), 10, 1.0, 1.0)]
    assert settings(rows) == [TINY, replace(TINY, threads=2)]
    files = write_plots(tmp_path, rows)
    assert [file.name for file in files] == [
        "cells_cpu_float32_1.png",
        "active_cpu_float32_1.png",
        "cells_cpu_float32_2.png",
    ]
    for file in files:
        assert cv2.imread(str(file)).shape == (440, 640, 3)


def test_nothing_measured_is_no_picture(tmp_path):
    missing = Row("op", FORWARD_CONV, TINY, PYRAMID, not_measured="no time")
    assert write_plots(tmp_path, [missing]) == []
