"""The tables of the projects name experiments that exist, and agree with themselves."""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig, ListConfig, OmegaConf

from cascade_rpn_d2 import model_zoo
from cascade_rpn_d2.model_zoo import apply_overrides
from cascade_rpn_d2.reproduce import SCALES, Row, Table, load_tables, page_table
from tests.model_zoo.differences import differences, plain


@cache
def config_of(name: str, overrides: tuple[str, ...] = ()) -> DictConfig:
    """A config, read once for all rows that have it; nobody changes it here."""
    return apply_overrides(model_zoo.get_config(name), overrides)


@pytest.fixture(scope="module")
def tables(repository: Path) -> dict[str, Table]:
    return {
        f"{file.parent.name}/{name}": table
        for file in sorted((repository / "projects").glob("*/tables.py"))
        for name, table in load_tables(file).items()
    }


def test_cascade_rpn_has_its_seven_tables(tables: dict[str, Table]):
    assert {f"cascade_rpn/table{n}" for n in range(1, 8)} <= tables.keys()
    lengths = [len(tables[f"cascade_rpn/table{n}"].rows) for n in range(1, 8)]
    assert lengths == [9, 12, 7, 3, 3, 3, 2]


def test_guided_anchoring_has_its_seven_tables(tables: dict[str, Table]):
    assert {f"guided_anchoring/table{n}" for n in range(1, 8)} <= tables.keys()
    lengths = [len(tables[f"guided_anchoring/table{n}"].rows) for n in range(1, 8)]
    assert lengths == [13, 6, 4, 5, 4, 4, 8]


def test_cpm_rcnn_has_its_eight_tables_and_figure_7(tables: dict[str, Table]):
    names = [*(f"table{n}" for n in range(1, 9)), "figure7"]
    lengths = [len(tables[f"cpm_rcnn/{name}"].rows) for name in names]
    assert lengths == [8, 6, 4, 6, 6, 4, 21, 2, 12]


@pytest.fixture(scope="module")
def overridden(tables: dict[str, Table]) -> list[Row]:
    """The rows that are of no config alone, each once."""
    rows = (row for table in tables.values() for row in table.rows if row.overrides)
    return list({row.experiment: row for row in rows}.values())


def test_overrides_change_what_they_say_and_nothing_else(overridden: list[Row]):
    assert len(overridden) == 11 + 5 + 3 + 7 + 4  # gamma, stages, thresholds, parameters, lambda
    for row in overridden:
        name = row.config or ""
        keys = {override.partition("=")[0] for override in row.overrides}
        ours, theirs = plain(config_of(name, row.overrides)), plain(config_of(name))
        assert differences(ours, theirs) == keys, row.name


@pytest.mark.parametrize("scale", SCALES)
def test_no_scale_undoes_an_override(overridden: list[Row], scale: str):
    # Of a sweep the last row: a scale that leaves one value leaves them all.
    last = {(r.config, *(o.partition("=")[0] for o in r.overrides)): r for r in overridden}
    for (name, *keys), row in last.items():
        config = apply_overrides(model_zoo.get_config(name or ""), row.overrides)
        SCALES[scale].adapt(config, True)
        before = config_of(name or "", row.overrides)
        for key in keys:
            assert OmegaConf.select(config, key) == OmegaConf.select(before, key), row.name


def test_rows_of_the_text_of_guided_anchoring(tables: dict[str, Table]):
    found = {}
    for row in tables["guided_anchoring/hyperparameters"].rows:
        generator = config_of(row.config or "", row.overrides).model.proposal_generator
        regions = generator.location_loss.assigner
        found[row.name] = (
            generator.shape.loc_weight / 10,
            regions.center_ratio,
            regions.ignore_ratio,
        )
    assert found == {
        "lambda 2 0.1, sigma 1 0.2, sigma 2 0.5": (0.1, 0.2, 0.5),  # section 4.1
        "lambda 2 0.2": (0.2, 0.2, 0.5),
        "lambda 2 0.05": (0.05, 0.2, 0.5),
        "lambda 2 0.02": (0.02, 0.2, 0.5),
        "sigma 1 0.1": (0.1, 0.1, 0.5),
        "sigma 1 0.5": (0.1, 0.5, 0.5),
        "sigma 2 0.2": (0.1, 0.2, 0.2),
        "sigma 2 1.0": (0.1, 0.2, 1.0),
    }


def test_the_weights_that_a_row_is_evaluated_with_fit_it(tables: dict[str, Table]):
    for table in tables.values():
        for row in table.rows:
            if row.weights is not None:
                ours = config_of(row.config or "", row.overrides)
                theirs = config_of(row.weights)
                assert _parts(ours.model) == _parts(theirs.model), row.name
            assert not row.tta or "tta" in config_of(row.config or "")


def _parts(node: Any, key: str = "") -> set[tuple[str, str]]:
    """Where in a model there is which class."""
    if isinstance(node, DictConfig):
        found = {(key, str(node["_target_"]))} if "_target_" in node else set()
        return found.union(*(_parts(node.get(name), f"{key}.{name}") for name in node))
    if isinstance(node, ListConfig):
        return set().union(*(_parts(each, f"{key}.{i}") for i, each in enumerate(node)))
    return set()


def test_configs_exist_and_are_evaluated_by_the_metrics_of_the_table(tables: dict[str, Table]):
    for key, table in tables.items():
        tasks = {metric.partition("/")[0] for metric in table.metrics}
        tasks -= {"anchors"}  # what a model says of itself
        evaluator = {"box_proposals": "ProposalRecallEvaluator", "bbox": "DetectionEvaluator"}
        for row in table.rows:
            for name in filter(None, (row.config, row.proposals, row.weights, row.fine_tunes)):
                assert name in model_zoo.list_configs(), f"{key}, {row.name}"
            if row.config is not None:
                config = config_of(row.config)
                target = str(config.dataloader.evaluator._target_)
                assert all(evaluator[task] in target for task in tasks), f"{key}, {row.name}"
                two_stages = "roi_heads" in config.model
                takes_proposals = two_stages and config.model.get("proposal_generator") is None
                assert takes_proposals == (row.proposals is not None)


def test_rows_of_a_cumulative_table_differ_in_what_they_add_alone(tables: dict[str, Table]):
    cumulative = {key: table for key, table in tables.items() if table.cumulative}
    assert len(cumulative) >= 3
    for key, table in cumulative.items():
        for before, row in pairwise(table.rows):
            ours, theirs = (leaves(config_of(x.config or "", x.overrides)) for x in (row, before))
            changed = {k for k in ours.keys() | theirs.keys() if ours.get(k) != theirs.get(k)}
            changed.discard("train.output_dir")
            added = {
                next((k for k in row.adds if f"{name}.".startswith(f"{k}.")), name)
                for name in changed
            }
            assert added == set(row.adds), f"{key}, {row.name}"


def test_other_rows_add_to_nothing(tables: dict[str, Table]):
    for key, table in tables.items():
        for row in table.rows[:1] if table.cumulative else table.rows:
            assert not row.adds, f"{key}, {row.name}"


def leaves(node: Any, key: str = "") -> dict[str, str]:
    """The values of a config by their full key, as text."""
    if isinstance(node, DictConfig):
        below = {str(name): node[name] for name in node}
    elif isinstance(node, ListConfig):
        below = {str(index): each for index, each in enumerate(node)}
    else:
        return {key: str(node)}
    found: dict[str, str] = {}
    for name, each in below.items():
        found |= leaves(each, f"{key}.{name}" if key else name)
    return found


def test_the_page_shows_the_tables(tables: dict[str, Table], repository: Path):
    for key, table in tables.items():
        page = (repository / "projects" / key.partition("/")[0] / "README.md").read_text()
        shown = page_table(table)
        assert shown in page, f"the page's {key} is not that of tables.py"
        # Nor is a note left below that was true of the table once.
        rest = page[page.index(shown) + len(shown) :].lstrip()
        assert not rest.startswith("The paper's numbers are on"), key


def test_all_rows_of_a_table_are_tested_on_the_images_that_its_page_names(tables: dict[str, Table]):
    for key, table in tables.items():
        configs = {row.config for row in table.rows if row.config is not None}
        named = {str(config_of(config).dataloader.test.dataset.names) for config in configs}
        assert len(named) <= 1, key


def test_rows_of_one_experiment_have_one_number(tables: dict[str, Table]):
    # In the tables of one paper, and on the images of one split.
    published: dict[tuple[str, ...], float] = {}
    for key, table in tables.items():
        for row in table.rows:
            for metric, value in zip(table.metrics, row.published, strict=True):
                if row.experiment is not None and value is not None:
                    number = (key.partition("/")[0], table.split, row.experiment, metric)
                    assert published.setdefault(number, value) == value


def test_published_numbers_are_per_cent(tables: dict[str, Table]):
    for table in tables.values():
        for row in table.rows:
            for metric, value in zip(table.metrics, row.published, strict=True):
                if not metric.startswith("anchors/"):
                    assert value is None or 5 <= value < 90
