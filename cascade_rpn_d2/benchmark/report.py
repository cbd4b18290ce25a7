"""Rows as tables to read and as json to keep."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tabulate import tabulate

from ..files.atomic import write_atomically
from .row import PYRAMID, Row

_TITLES = {
    "op": "Operator",
    "head": "Proposal head",
    "train-step": "Training step of the proposal head",
    "location-threshold": "GA-RPN at the thresholds of Table 5",
    "backbone": "Deformable backbone",
    "end-to-end": "Whole detectors",
}
# What a reader has to know about the rows of a mode.
_NOTES = {
    "location-threshold": (
        "Random weights: every threshold is the quantile of their location probabilities that "
        "leaves the share of cells which the paper's model leaves at the threshold in the row. "
        "Published: the paper's frames per second with all cells (7.8 on a TITAN X) over those at "
        "the threshold, where active cells saved the last 1x1 convolutions only."
    ),
}
_RESULT_COLUMNS = (
    "ratio", "quartiles", "target", "met", "what", "measured", "reference", "pairs",
)  # fmt: skip
_QUOTED_COLUMNS = ("published",)  # only where there is such a value
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
    cells = [{**_result_cells(row), **_case_cells(row)} for row in rows]
    known = [cell for row, cell in zip(rows, cells, strict=True) if row.case is not None]
    values = {name: {cell[name] for cell in known} for name in _CASE_COLUMNS}
    varied = [name for name in _CASE_COLUMNS if len(values[name]) > 1]
    common = [
        f"{name} {value}" for name in _CASE_COLUMNS for value in values[name] if name not in varied
    ]
    quoted = [name for name in _QUOTED_COLUMNS if any(cell[name] for cell in cells)]
    columns = [*_RESULT_COLUMNS, *quoted, *varied]
    table = tabulate(
        [[cell[name] for name in columns] for cell in cells],
        columns,
        tablefmt="github",
        disable_numparse=True,
    )
    common = [text for text in common if not text.endswith(" ")]
    caption = [_NOTES[mode]] if mode in _NOTES else []
    caption += [f"In all rows: {', '.join(common)}."] if common else []
    return "\n\n".join([f"## {_TITLES.get(mode, mode)}", *caption, table])


def _result_cells(row: Row) -> dict[str, str]:
    cells = dict.fromkeys((*_RESULT_COLUMNS, *_QUOTED_COLUMNS), "")
    cells["target"] = "" if row.target is None else f"<= {row.target:g}"
    cells["published"] = "" if row.published is None else f"{row.published:.3g}"
    if row.ratio is None:
        why = f"{row.quantity}: {row.not_measured}"
        return {**cells, "ratio": "not measured", "what": why}
    value, reference = (
        "" if x is None else f"{x:.3g} {row.unit}" if x < 100 else f"{x:.0f} {row.unit}"
        for x in (row.value, row.reference)
    )
    return {
        **cells,
        "ratio": f"{row.ratio:.3g}",
        "quartiles": "" if row.quartiles is None else "{:.3g} to {:.3g}".format(*row.quartiles),
        "met": {None: "", True: "yes", False: "no"}[row.met],
        "what": row.quantity,
        "measured": value,
        "reference": reference,
        "pairs": "" if row.pairs is None else str(row.pairs),
    }


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
    text = json.dumps(content, indent=1) + "\n"
    write_atomically(path, lambda file: file.write(text.encode()))


def read_json(path: Path) -> tuple[dict[str, Any], list[Row]]:
    """Environment and rows of a file of :func:`write_json`."""
    content = json.loads(path.read_text())
    return content["environment"], [Row.from_json(values) for values in content["rows"]]
