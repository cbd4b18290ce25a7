"""A table as the page of its project shows it: row, config, published numbers, ours on COCO."""

from __future__ import annotations

from tabulate import tabulate

from ..engine.categories import dataset_names
from ..model_zoo import get_config
from .measured_on import page_note
from .table import Row, Table, show


def page_table(table: Table) -> str:
    """The table as markdown, a row each; ours is blank until it is measured on COCO.

    A line below says so where the configs are tested on other images than the paper's.

    Args:
        table: a table; its rows keep their numbers, by which ``cascade-rpn reproduce`` runs them.
    """
    names = [metric.rpartition("/")[2] for metric in table.metrics]
    timed = any(row.seconds is not None for row in table.rows)
    header = ["#", "row", *names, *(["s / image"] if timed else []), "ours", "config"]
    lines = []
    for number, row in enumerate(table.rows, start=1):
        seconds = ["" if row.seconds is None else f"{row.seconds:.2f}"] if timed else []
        published = ["" if value is None else show(value) for value in row.published]
        lines.append([str(number), row.name, *published, *seconds, "", _config(row)])
    text = tabulate(lines, header, tablefmt="github", disable_numparse=True)
    note = page_note(table, _test_data(table))
    return f"{text}\n\n{note}" if note else text


def _config(row: Row) -> str:
    return "quoted in the paper" if row.experiment is None else f"`{row.experiment}`"


def _test_data(table: Table) -> list[str]:
    """The datasets that the rows are tested on at full scale: those of the first row that can be
    run, which its baseline and ablations share."""
    config = next((row.config for row in table.rows if row.config is not None), None)
    return [] if config is None else dataset_names(get_config(config), "test")
