"""The time of a row's model for an image, also in units of a table's baseline.

Seconds of two machines do not compare, so the paper's and ours only do in units of a row that was
timed beside them.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..engine.measurement import Measurement
from .table import Row, Table


def is_timed(table: Table) -> bool:
    """Whether the paper has times in this table."""
    return any(row.seconds is not None for row in table.rows)


def baseline_of(table: Table) -> Row | None:
    """What times are relative to: the first row that can be run, such as RPN."""
    return next((row for row in table.rows if row.config is not None), None)


def published_ratio(table: Table, row: Row) -> float | None:
    """The paper's time of a row by that of the baseline; None if it has not both, or quotes the row
    from others, who had machines of their own."""
    baseline = baseline_of(table)
    if baseline is None or row.config is None:
        return None
    if baseline.seconds is None or row.seconds is None:
        return None
    return row.seconds / baseline.seconds


def own_seconds(row: Row, measured: Mapping[Row, Measurement]) -> float | None:
    """Our time of a row for an image; None if it is not known."""
    found = measured.get(row)
    return None if found is None else found.seconds


def own_ratio(table: Table, row: Row, measured: Mapping[Row, Measurement]) -> float | None:
    """Our time of a row by that of the baseline; None if one is not known, or if the two were not
    taken on the same images, machine and software."""
    baseline = baseline_of(table)
    ours, its = measured.get(row), None if baseline is None else measured.get(baseline)
    if ours is None or its is None or ours.seconds is None or its.seconds is None:
        return None
    if (ours.machine, ours.test_data) != (its.machine, its.test_data):
        return None
    return ours.seconds / its.seconds


def time_sentence(table: Table, measured: Mapping[Row, Measurement]) -> str:
    """How the times of a table were taken; empty if none of ours is known."""
    timed = [m for row in table.rows if (m := measured.get(row)) and m.seconds is not None]
    if not timed:
        return ""
    machines = list(dict.fromkeys(_words(m) for m in timed))
    where = machines[0] if len(machines) == 1 else f"several machines ({'; '.join(machines)})"
    baseline = baseline_of(table)
    assert baseline is not None  # one that was run
    return (
        "Times: ours is the median over the images, of the model alone, without reading images, "
        f"on {where}. Seconds of different machines do not compare, ratios do: the "
        f"column 'x {baseline.name}' has each time divided by that row's. Other work of the "
        "machine shows in both."
    )


def _words(measurement: Measurement) -> str:
    machine = measurement.machine
    threads = machine.get("threads")
    counts = [f"{threads} thread{'' if threads == 1 else 's'}"] if threads else []
    if machine["processes"] > 1:
        counts.append(f"{machine['processes']} processes")
    torch = f"torch {machine['versions']['torch']}"
    return ", ".join([machine["device"], *counts, torch])
