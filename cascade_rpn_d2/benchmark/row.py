"""One line of a table: what was measured on which case, and whether it is good enough."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from .case import Case
from .targets import Target, find_target, targets_of
from .timing import Comparison

# The level of a row about all levels of a pyramid together.
PYRAMID = "pyramid"


@dataclass(frozen=True)
class Row:
    """A measurement, or the reason why there is none.

    Attributes:
        mode: of the benchmark.
        quantity: what is measured / what it is measured against.
        case: on what; None if no case was.
        level: ``"pyramid"`` or such as ``"stride 4"``; empty where there are no levels.
        ratio: the measured in units of its reference.
        quartiles: of the ratios of the single pairs.
        value: the measured itself, in the unit.
        reference: its reference, in the unit.
        unit: ``"ms"``, ``"MiB"``, ``"images/s"`` or ``"ppm"``.
        pairs: how many pairs were timed.
        cells: cells of the maps, all images together.
        active: share of the cells that were computed, from 0 to 1.
        target: the largest ratio that is good enough, if the row has to be.
        published: the same ratio from a paper.
        not_measured: why there is no measurement.
    """

    mode: str
    quantity: str
    case: Case | None
    level: str = ""
    ratio: float | None = None
    quartiles: tuple[float, float] | None = None
    value: float | None = None
    reference: float | None = None
    unit: str = "ms"
    pairs: int | None = None
    cells: int | None = None
    active: float | None = None
    target: float | None = None
    published: float | None = None
    not_measured: str | None = None

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None without a target or without a measurement."""
        if self.target is None or self.ratio is None:
            return None
        return self.ratio <= self.target

    def to_json(self) -> dict[str, Any]:
        """The row as plain values, ``met`` included."""
        return {**dataclasses.asdict(self), "met": self.met}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Row:
        """The row that :meth:`to_json` made the values of."""
        values = {name: value for name, value in values.items() if name != "met"}
        if values["case"] is not None:
            size = tuple(values["case"]["image_size"])
            values["case"] = Case(**{**values["case"], "image_size": size})
        if values["quartiles"] is not None:
            values["quartiles"] = tuple(values["quartiles"])
        return cls(**values)


def timed_row(
    mode: str, quantity: str, case: Case, comparison: Comparison, level: str = "", **more: Any
) -> Row:
    """The row of timed pairs; those of a single level have no target."""
    return Row(
        mode,
        quantity,
        case,
        level,
        ratio=comparison.ratio,
        quartiles=comparison.quartiles,
        pairs=comparison.pairs,
        target=limit_of(mode, quantity, case, level),
        **{"value": comparison.time_ms, "reference": comparison.reference_ms, **more},
    )


def missing_row(mode: str, quantity: str, case: Case, reason: str, level: str = "") -> Row:
    """The row of what could not be measured on a case."""
    target = limit_of(mode, quantity, case, level)
    return Row(mode, quantity, case, level, target=target, not_measured=reason)


def limit_of(mode: str, quantity: str, case: Case, level: str) -> float | None:
    """The largest ratio that is good enough for a row, if it has to be."""
    target = find_target(mode, quantity, case)
    return target.limit if target and level in ("", PYRAMID) else None


def unmet_demands(rows: Iterable[Row], modes: Iterable[str], devices: Iterable[str]) -> list[Row]:
    """A row for every target of the modes that no row answers to, with the reason.

    Args:
        rows: what there is.
        modes: that were run.
        devices: that were measured, ``"cpu"`` or ``"cuda"``.
    """
    rows, measured = list(rows), set(devices)

    def answered(target: Target) -> bool:
        return any(r.case and target.covers(r.mode, r.quantity, r.case) for r in rows)

    def reason(target: Target) -> str:
        if target.device in measured:
            return f"this run had no such case ({target.describe()})"
        return f"this run had no {'CPU' if target.device == 'cpu' else 'GPU'} ({target.describe()})"

    return [
        Row(t.mode, t.quantity, None, target=t.limit, not_measured=reason(t))
        for t in targets_of(modes)
        if not answered(t)
    ]
