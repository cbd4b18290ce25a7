"""How the recipes of others are written down here."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

# Images of COCO train2017 with an object that is no crowd and, as mmdet reads them, sides of 32 px.
_IMAGES = 117_266


@dataclass(frozen=True)
class Fact:
    """One number, or word, of a recipe.

    Args:
        value: as the reference has it, in the units of :mod:`.reader`.
        where: the key in the file of the table; with a colon, another file of the same repository
            and what to look for in it; in brackets, what was computed from it.
    """

    value: Any
    where: str


Facts = Mapping[str, Fact]


@dataclass(frozen=True)
class Table:
    """The whole recipe of one experiment, from its reference.

    Args:
        config: our experiment.
        source: repository, commit and file, or paper and section.
        facts: by name.
        scales: at which of ours it is compared: as the config is ("default"), and as ``cascade-rpn
            reproduce --scale full`` runs it ("full").
    """

    config: str
    source: str
    facts: Facts
    scales: tuple[str, ...] = ("default", "full")


@dataclass(frozen=True)
class Deviation:
    """What we have on purpose where a reference has something else.

    Args:
        fact: its name.
        ours: what we have.
        reason: one sentence.
        configs: of which experiments; a prefix of a name stands for all that begin with it.
        scales: at which of our scales.
    """

    fact: str
    ours: Any
    reason: str
    configs: tuple[str, ...] = field(default=("",))
    scales: tuple[str, ...] = ("default", "full")

    def applies_to(self, table: Table, scale: str, fact: str) -> bool:
        """Whether it speaks of this fact."""
        return (
            fact == self.fact
            and scale in self.scales
            and any(table.config.startswith(prefix) for prefix in self.configs)
        )


def epochs(*numbers: int, batch: int = 16) -> tuple[int, ...]:
    """Iterations of epochs of COCO train2017, the last batch of an epoch incomplete."""
    return tuple(number * math.ceil(_IMAGES / batch) for number in numbers)


def edited(facts: Facts, **changes: Fact | None) -> dict[str, Fact]:
    """Facts with some exchanged, or left out where None; ``__`` stands for the dot of a name."""
    named = {name.replace("__", "."): fact for name, fact in changes.items()}
    merged = {**facts, **named}
    return {name: fact for name, fact in merged.items() if fact is not None}


def moved(facts: Facts, **keys: str) -> dict[str, Fact]:
    """The same facts of a file that has them at other keys; ``__`` stands for a dot of a key."""

    def place(where: str) -> str:
        for old, new in keys.items():
            where = where.replace(f"{old.replace('__', '.')}.", f"{new}.")
        return where

    return {name: Fact(fact.value, place(fact.where)) for name, fact in facts.items()}
