"""Every number of the baselines and of the headline methods is the authors', or says why not."""

from __future__ import annotations

import math
from fnmatch import fnmatch
from functools import cache
from typing import Any

import pytest

from cascade_rpn_d2 import model_zoo
from cascade_rpn_d2.reproduce import SCALES

from . import (
    authors_cascade_rpn,
    authors_cpm_rcnn,
    authors_faster_rcnn,
    authors_grid_rcnn,
    authors_guided_anchoring,
)
from .deviations import DEVIATIONS
from .reader import read_facts
from .resolved import Resolved
from .table import Deviation, Table
from .unstated import NOT_OF_THE_RECIPE, OFF

TABLES = [
    table
    for module in (
        authors_cascade_rpn,
        authors_guided_anchoring,
        authors_grid_rcnn,
        authors_cpm_rcnn,
        authors_faster_rcnn,
    )
    for table in module.TABLES
]
CASES = [
    pytest.param(table, scale, id=f"{table.config}-{scale}")
    for table in TABLES
    for scale in table.scales
]


@cache
def _resolved(name: str, scale: str) -> Resolved:
    config = model_zoo.get_config(name)
    if scale == "full":
        SCALES["full"].adapt(config, False)
    return Resolved(config)


def resolved(table: Table, scale: str) -> Resolved:
    return _resolved(table.config, scale)


def deviations(table: Table, scale: str, fact: str) -> list[Deviation]:
    return [deviation for deviation in DEVIATIONS if deviation.applies_to(table, scale, fact)]


def equal(one: Any, other: Any) -> bool:
    """Numbers are equal but for their last digits, 1 and True are not."""
    if isinstance(one, tuple) and isinstance(other, tuple):
        return len(one) == len(other) and all(map(equal, one, other))
    numbers = [isinstance(x, (int, float)) and not isinstance(x, bool) for x in (one, other)]
    if all(numbers):
        return math.isclose(one, other, rel_tol=1e-9)
    return type(one) is type(other) and one == other


@pytest.mark.parametrize(("table", "scale"), CASES)
def test_every_fact_is_the_authors_or_a_stated_deviation(table: Table, scale: str):
    facts = read_facts(resolved(table, scale))
    assert facts.keys() == table.facts.keys()
    wrong = []
    for name, fact in table.facts.items():
        stated = deviations(table, scale, name)
        assert len(stated) <= 1, name
        wanted = stated[0].ours if stated else fact.value
        if not equal(facts[name], wanted):
            whose = "stated" if stated else fact.where
            wrong.append(f"{name} is {facts[name]!r} instead of {wanted!r} ({whose})")
    assert not wrong, "\n".join([table.source, *wrong])


@pytest.mark.parametrize(("table", "scale"), CASES)
def test_no_value_of_a_config_slips_past(table: Table, scale: str):
    config = resolved(table, scale)
    read_facts(config)
    for path, value in config.unread().items():
        if any(fnmatch(path, pattern) for pattern in NOT_OF_THE_RECIPE):
            continue
        off = [wanted for pattern, wanted in OFF.items() if fnmatch(path, pattern)]
        assert off, f"{path} is in no fact, and not among what the references leave unsaid"
        assert equal(value, off[0]), f"{path} is {value!r}, and no reference has anything like it"


@pytest.mark.parametrize("deviation", DEVIATIONS, ids=lambda x: f"{x.fact}-{x.configs[0]}")
def test_a_deviation_deviates(deviation: Deviation):
    places = [
        (table, scale, fact)
        for table in TABLES
        for scale in table.scales
        for name, fact in table.facts.items()
        if deviation.applies_to(table, scale, name)
    ]
    assert places, "There is nothing that it speaks of."
    for table, scale, fact in places:
        assert not equal(deviation.ours, fact.value), f"{table.config}, {scale}"
    for prefix in deviation.configs:
        assert any(table.config.startswith(prefix) for table, _, _ in places), prefix
    for scale in deviation.scales:
        assert any(scale == other for _, other, _ in places), scale


def test_what_is_unsaid_is_there():
    unread: set[str] = set()
    for table in TABLES:
        for scale in table.scales:
            config = resolved(table, scale)
            read_facts(config)
            unread.update(config.unread())
    patterns = [*NOT_OF_THE_RECIPE, *OFF]
    assert len(set(patterns)) == len(patterns)
    assert not [p for p in patterns if not any(fnmatch(path, p) for path in unread)]


def other_than(value: Any) -> Any:
    """Another value of the kind: no number of a recipe is mapped on itself."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, (int, float)):
        return 2 * value + 1
    if isinstance(value, tuple):
        return tuple(map(other_than, value))
    return value


# One of each kind of generator and of heads.
@pytest.mark.parametrize(
    "name",
    [
        "cascade_rpn/cascade_rpn_cascade_rcnn_r50_fpn_1x.py",
        "guided_anchoring/ga_faster_rcnn_r50_fpn_1x.py",
        "guided_anchoring/ga_retinanet_r50_fpn_1x.py",
        "guided_anchoring/retinanet_r50_fpn_1x.py",
        "cpm_rcnn/cpm_rcnn_r50_fpn_2x.py",
        "cpm_rcnn/ablations/cascade_rcnn_ism_rsm_r50_fpn_1x.py",
        "faster_rcnn/faster_rcnn_vgg16.py",
    ],
)
def test_a_number_that_changes_is_seen(name: str):
    config = _resolved(name, "default")
    facts = read_facts(config)
    for path, value in config.read().items():
        other = other_than(value)
        if other == value:  # a word, or nothing
            continue
        try:
            seen = read_facts(config.changed(path, other)) != facts
        except (AssertionError, ValueError):  # it does not go with another value
            seen = True
        assert seen, path


def test_a_place_is_given_for_every_fact():
    for table in TABLES:
        assert model_zoo.get_config_file(table.config)
        assert table.source
        for name, fact in table.facts.items():
            assert fact.where, f"{table.config}, {name}"
