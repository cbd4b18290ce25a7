"""A table as the page of its project shows it: row, config, published numbers, ours on COCO."""

from __future__ import annotations

from tabulate import tabulate

from .table import Row, Table, show


def page_table(table: Table) -> str:
    """The table as markdown, a row each; ours is blank until it is measured on the same images.

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
    return tabulate(lines, header, tablefmt="github", disable_numparse=True)


def _config(row: Row) -> str:
    return "quoted in the paper" if row.experiment is None else f"`{row.experiment}`"
