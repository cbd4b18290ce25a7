"""A table with the paper's numbers and ours, as markdown, json and a plot."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, Any

from tabulate import tabulate

from ..engine.evaluation import Results
from ..engine.measurement import Measurement
from ..files.atomic import write_atomically
from ..files.folders import make_writable
from ..visualization import plot_rows, save_image
from .measured_on import data_sentence
from .table import Row, Table, show
from .times import baseline_of, is_timed, own_ratio, own_seconds, published_ratio, time_sentence

Values = tuple[float | None, ...]


@dataclass(frozen=True)
class Report:
    """What became of the rows of a table.

    Args:
        key: ``project/table``.
        table: the table.
        scale: name of the scale.
        iterations: of every run.
        seed: of every run.
        measured: the evaluation of every row that was run.
        measurements: what these were made on, as far as they say.
    """

    key: str
    table: Table
    scale: str
    iterations: int
    seed: int
    measured: Mapping[Row, Results]
    measurements: Mapping[Row, Measurement] = field(default_factory=dict)

    def values(self, row: Row) -> Values:
        """Ours in the order of the table's metrics, None where there is no number."""
        results = self.measured.get(row, {})
        found = []
        for metric in self.table.metrics:
            task, _, name = metric.partition("/")
            value = results.get(task, {}).get(name)
            found.append(value if value is not None and math.isfinite(value) else None)
        return tuple(found)


def markdown(report: Report) -> str:
    """The table as markdown: a row each, the paper's number before ours, and what they are of."""
    table = report.table
    names = [metric.rpartition("/")[2] for metric in table.metrics]
    lines = [
        [row.name, *map(_pair, row.published, report.values(row)), *_times(report, row)]
        for row in table.rows
    ]
    text = f"### {report.key}: {table.title}\n\n"
    header = ["", *names, *_time_names(table)]
    text += tabulate(lines, header, tablefmt="github", disable_numparse=True)
    text += (
        f"\n\nEach cell: the paper on {table.split} / ours, scale `{report.scale}`, "
        f"{report.iterations:,} iterations, seed {report.seed}.\n"
    )
    measured = {row: report.measurements.get(row) for row in table.rows if row in report.measured}
    sentences = [data_sentence(table, measured)]
    if is_timed(table):
        sentences.append(time_sentence(table, report.measurements))
    text += "".join(f"\n{sentence}\n" for sentence in sentences if sentence)
    if table.cumulative:
        text += f"\n{steps(report)}"
    return text


def _time_names(table: Table) -> list[str]:
    """The headings of the times, in a table in which the paper has some."""
    if not is_timed(table):
        return []
    baseline = baseline_of(table)
    return ["s / image", *([] if baseline is None else [f"x {baseline.name}"])]


def _times(report: Report, row: Row) -> list[str]:
    """The cells of the times."""
    table, measured = report.table, report.measurements
    if not is_timed(table):
        return []
    ours = own_seconds(row, measured)
    published = "-" if row.seconds is None else f"{row.seconds:.2f}"
    cells = [f"{published} / {'' if ours is None else f'{ours:.3f}'}".rstrip()]
    if baseline_of(table) is not None:
        ratios = published_ratio(table, row), own_ratio(table, row, measured)
        cells.append(_pair(*ratios, "{:.2f}".format))
    return cells


def steps(report: Report) -> str:
    """What each row of a cumulative table adds to the one before: the paper's change / ours."""
    rows, lines = report.table.rows, []
    for before, row in zip(rows, rows[1:], strict=False):
        published = _difference(before.published, row.published)
        ours = _difference(report.values(before), report.values(row))
        changes = zip(published, ours, strict=True)
        lines.append([row.name, *(_pair(*change, "{:+.1f}".format) for change in changes)])
    names = [f"change of {m.rpartition('/')[2]}" for m in report.table.metrics]
    return tabulate(lines, ["", *names], tablefmt="github", disable_numparse=True) + "\n"


def as_json(report: Report) -> dict[str, Any]:
    """The table as plain data."""
    return {
        "table": report.key,
        "title": report.table.title,
        "scale": report.scale,
        "iterations": report.iterations,
        "seed": report.seed,
        "published_on": report.table.split,
        "metrics": list(report.table.metrics),
        "rows": [_row_as_json(report, row) for row in report.table.rows],
    }


def _row_as_json(report: Report, row: Row) -> dict[str, Any]:
    table, measurement = report.table, report.measurements.get(row)
    content: dict[str, Any] = {
        "name": row.name,
        "config": row.config,
        "overrides": list(row.overrides),
        "published": list(row.published),
        "ours": list(report.values(row)),
        "measurement": None if measurement is None else measurement.to_json(),
    }
    if is_timed(table):
        content |= {
            "published_seconds": row.seconds,
            "published_seconds_relative": published_ratio(table, row),
            "seconds_relative": own_ratio(table, row, report.measurements),
        }
    return content


def write_report(report: Report, folder: Path) -> list[Path]:
    """Write ``<folder>/<key>.md``, ``.json`` and ``.png``, slashes of the key being underscores.

    Returns:
        The files, the plot only if there is a row to compare.
    """
    stem = folder / report.key.replace("/", "_")
    make_writable(folder, f"the output folder {folder}", "give another --output-dir.")
    texts = {".md": markdown(report), ".json": json.dumps(as_json(report), indent=2) + "\n"}
    for suffix, text in texts.items():
        write_atomically(stem.with_suffix(suffix), partial(_write, text))
    files = [stem.with_suffix(suffix) for suffix in texts]
    rows = [row for row in report.table.rows if any(v is not None for v in report.values(row))]
    if rows:
        files.append(stem.with_suffix(".png"))
        save_image(files[-1], _plot(report, rows))
    return files


def _write(text: str, file: IO[bytes]) -> None:
    file.write(text.encode())


def _plot(report: Report, rows: Sequence[Row]) -> Any:
    names = [metric.rpartition("/")[2] for metric in report.table.metrics[:3]]
    return plot_rows(
        [row.name for row in rows],
        {
            f"paper, {report.table.split}": _columns(names, [row.published for row in rows]),
            f"ours, {report.scale}": _columns(names, [report.values(row) for row in rows]),
        },
        title=report.table.title,
    )


def _columns(names: Sequence[str], rows: Sequence[Values]) -> dict[str, list[float | None]]:
    return {name: [values[i] for values in rows] for i, name in enumerate(names)}


def _difference(before: Values, after: Values) -> Values:
    return tuple(
        None if a is None or b is None else a - b for b, a in zip(before, after, strict=True)
    )


def _pair(published: float | None, ours: float | None, form: Callable[[float], str] = show) -> str:
    texts = ["" if value is None else form(value) for value in (published, ours)]
    return f"{texts[0] or '-'} / {texts[1]}".rstrip()
