"""Rows as tables to read and as json to keep."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tabulate import tabulate

from .row import PYRAMID, Row

_TITLES = {
    "op": "Operator",
    "head": "Proposal head",
    "train-step": "Training step of the proposal head",
    "end-to-end": "Whole detectors",
}
# Columns about the case of a row; where all rows of a table agree, one sentence says so instead.
_CASE_COLUMNS = ("device", "dtype", "threads", "image", "batch", "layout", "boxes", "level")


def markdown(environment: Mapping[str, Any], rows: Sequence[Row], per_level: bool = False) -> str:
    """The whole report: header and a table a mode."""
    header = "\n".join(f"* {name}: {value}" for name, value in environment.items())
    return "\n\n".join(["# Benchmark", header, *tables(rows, per_level)]) + "\n"


def tables(rows: Sequence[Row], per_level: bool = False) -> list[str]:
    """A Markdown table a mode, its title above; ratios first.

    Args:
        rows: in the order to show them in.
        per_level: with the rows of single levels.
    """
    shown = [row for row in rows if per_level or row.level in ("", PYRAMID)]
    modes = dict.fromkeys(row.mode for row in shown)
    return [_table(mode, [row for row in shown if row.mode == mode]) for mode in modes]


def _table(mode: str, rows: Sequence[Row]) -> str:
    cells = [_case_cells(row) for row in rows]
    known = [cell for row, cell in zip(rows, cells, strict=True) if row.case is not None]
    values = {name: {cell[name] for cell in known} for name in _CASE_COLUMNS}
    varied = [name for name in _CASE_COLUMNS if len(values[name]) > 1]
    common = [
        f"{name} {value}" for name in _CASE_COLUMNS for value in values[name] if name not in varied
    ]
    table = tabulate(
        [
            [*_result_cells(row), *(cell[name] for name in varied)]
            for row, cell in zip(rows, cells, strict=True)
        ],
        ["ratio", "quartiles", "target", "met", "what", "measured", "reference", "pairs", *varied],
        tablefmt="github",
        disable_numparse=True,
    )
    common = [text for text in common if not text.endswith(" ")]
    caption = [f"In all rows: {', '.join(common)}."] if common else []
    return "\n\n".join([f"## {_TITLES.get(mode, mode)}", *caption, table])


def _result_cells(row: Row) -> list[str]:
    target = "" if row.target is None else f"<= {row.target:g}"
    if row.ratio is None:
        why = f"{row.quantity}: {row.not_measured}"
        return ["not measured", "", target, "", why, "", "", ""]
    quartiles = "" if row.quartiles is None else "{:.3g} to {:.3g}".format(*row.quartiles)
    met = {None: "", True: "yes", False: "no"}[row.met]
    value, reference = (
        "" if x is None else f"{x:.3g} {row.unit}" if x < 100 else f"{x:.0f} {row.unit}"
        for x in (row.value, row.reference)
    )
    pairs = "" if row.pairs is None else str(row.pairs)
    return [f"{row.ratio:.3g}", quartiles, target, met, row.quantity, value, reference, pairs]


def _case_cells(row: Row) -> dict[str, str]:
    case = row.case
    if case is None:
        return dict.fromkeys(_CASE_COLUMNS, "")
    height, width = case.image_size
    values = {
        "device": case.device,
        "dtype": case.dtype,
        "threads": case.threads,
        "image": f"{height}x{width}",
        "batch": case.batch,
        "layout": case.layout,
        "boxes": case.boxes,
        "level": row.level,
    }
    return {name: "" if value is None else str(value) for name, value in values.items()}


def write_json(path: Path, environment: Mapping[str, Any], rows: Sequence[Row]) -> None:
    """Write environment and rows; :func:`read_json` reads them."""
    content = {"environment": dict(environment), "rows": [row.to_json() for row in rows]}
    path.write_text(json.dumps(content, indent=1) + "\n")


def read_json(path: Path) -> tuple[dict[str, Any], list[Row]]:
    """Environment and rows of a file of :func:`write_json`."""
    content = json.loads(path.read_text())
    return content["environment"], [Row.from_json(values) for values in content["rows"]]
