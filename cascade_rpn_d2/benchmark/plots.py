"""Time against the number of cells, and against the share of them that is active."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..visualization import plot_lines, save_image
from .case import Case
from .row import PYRAMID, Row
from .targets import FORWARD_CONV, FORWARD_TORCHVISION

Curve = list[tuple[float, float]]


def write_plots(folder: Path, rows: Sequence[Row]) -> list[Path]:
    """Write a picture of either kind for every device, precision and number of threads.

    Of the other settings a picture shows the first one measured, which its title names.

    Returns:
        The files.
    """
    files = []
    for case in settings(rows):
        name = "_".join(map(str, filter(None, (case.device, case.dtype, case.threads))))
        for kind, curves, label in (
            ("cells", cell_curves(rows, case), "cells"),
            ("active", active_curves(rows, case), "active cells (%)"),
        ):
            if curves:
                picture = plot_lines(
                    curves,
                    xlabel=label,
                    ylabel="time (ms)",
                    title=_title(case, with_size=kind == "active"),
                    log_x=True,
                    log_y=True,
                )
                file = folder / f"{kind}_{name.replace(':', '')}.png"
                save_image(file, picture)
                files.append(file)
    return files


def settings(rows: Sequence[Row]) -> list[Case]:
    """The first case of the operator for every device, precision and number of threads."""
    first: dict[tuple, Case] = {}
    for row in rows:
        if row.mode == "op" and row.case is not None and row.ratio is not None:
            first.setdefault((row.case.device, row.case.dtype, row.case.threads), row.case)
    return list(first.values())


def cell_curves(rows: Sequence[Row], case: Case) -> dict[str, Curve]:
    """Cells -> milliseconds of a forward, over the levels of all image sizes.

    Args:
        rows: of any mode.
        case: what the levels have to agree with but for the size of the image.
    """

    def levels(quantity: str) -> list[Row]:
        return [
            r
            for r in rows
            if r.quantity == quantity
            and r.ratio is not None
            and r.level != PYRAMID
            and r.case is not None
            and _but_for_size(r.case) == _but_for_size(case)
        ]

    against_conv, against_torchvision = levels(FORWARD_CONV), levels(FORWARD_TORCHVISION)
    curves = {
        "adaptive_conv2d": [(r.cells, r.value) for r in against_conv],
        "F.conv2d": [(r.cells, r.reference) for r in against_conv],
        "torchvision's deform_conv2d": [(r.cells, r.reference) for r in against_torchvision],
    }
    return {name: _complete(points) for name, points in curves.items() if points}


def active_curves(rows: Sequence[Row], case: Case) -> dict[str, Curve]:
    """Per cent of active cells -> milliseconds of a forward over the pyramid, of just this case."""
    masked = [
        r
        for r in rows
        if r.active is not None and r.ratio is not None and r.level == PYRAMID and r.case == case
    ]
    curves = {
        "active cells only": [(100 * (r.active or 0.0), r.value) for r in masked],
        "all cells": [(100 * (r.active or 0.0), r.reference) for r in masked],
    }
    return {name: _complete(points) for name, points in curves.items() if points}


def _complete(points: Sequence[tuple[float | None, float | None]]) -> Curve:
    return sorted((x, y) for x, y in points if x is not None and y is not None)


def _but_for_size(case: Case) -> tuple:
    return (case.device, case.dtype, case.threads, case.batch, case.layout, case.boxes)


def _title(case: Case, with_size: bool) -> str:
    threads = f"{case.threads} thread{'s' if case.threads != 1 else ''}" if case.threads else None
    size = "{}x{}".format(*case.image_size) if with_size else None
    boxes = f"{case.boxes} boxes" if case.boxes else None
    parts = (case.device, case.dtype, threads, size, f"batch {case.batch}", case.layout, boxes)
    return ", ".join(filter(None, parts))
