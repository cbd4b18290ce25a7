"""The tables of the projects name experiments that exist, and agree with themselves."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig, ListConfig

from cascade_rpn_d2 import model_zoo
from cascade_rpn_d2.reproduce import Table, load_tables, page_table


@cache
def config_of(name: str) -> DictConfig:
    """A config, read once for all rows that name it; nobody changes it here."""
    return model_zoo.get_config(name)


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


def test_the_weights_that_a_row_is_evaluated_with_fit_it(tables: dict[str, Table]):
    for table in tables.values():
        for row in table.rows:
            if row.weights is not None:
                ours, theirs = (config_of(n) for n in (row.config or "", row.weights))
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


def test_the_page_shows_the_tables(tables: dict[str, Table], repository: Path):
    for key, table in tables.items():
        page = (repository / "projects" / key.partition("/")[0] / "README.md").read_text()
        assert page_table(table) in page, f"the page's {key} is not that of tables.py"


def test_rows_of_one_experiment_have_one_number(tables: dict[str, Table]):
    # In the tables of one paper, and on the images of one split.
    published: dict[tuple[str, ...], float] = {}
    for key, table in tables.items():
        for row in table.rows:
            for metric, value in zip(table.metrics, row.published, strict=True):
                if row.config is not None and value is not None:
                    number = (key.partition("/")[0], table.split, row.config, metric)
                    assert published.setdefault(number, value) == value


def test_published_numbers_are_per_cent(tables: dict[str, Table]):
    for table in tables.values():
        for row in table.rows:
            for metric, value in zip(table.metrics, row.published, strict=True):
                if not metric.startswith("anchors/"):
                    assert value is None or 5 <= value < 90
