"""On what images a table's numbers are, the paper's and ours, in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..engine.measurement import Measurement
from .table import Row, Table

_COCO = "COCO "
_TITLES = {
    "coco_2017_val": f"{_COCO}val2017",
    "coco_2017_test-dev": f"{_COCO}test-dev",
    "cascade_rpn_demo_val": "the demo's test images",
}
# Where a result does not say, as those of earlier versions do not.
NOT_RECORDED = "data that were not recorded"


def title_of(name: str, data: str | None = None) -> str:
    """What people call a dataset.

    Args:
        name: as it is registered.
        data: ``images_dir:annotations.json`` of one that a command line gave.
    """
    return f"own data ({data})" if data else _TITLES.get(name, name)


def data_of(measurement: Measurement | None) -> str:
    """What an evaluation was made on, with the number of images."""
    if measurement is None:
        return NOT_RECORDED
    titles = " and ".join(title_of(*each) for each in measurement.test_data)
    return f"{titles} ({measurement.images:,} images)"


def is_of(split: str, titles: Iterable[str]) -> bool:
    """Whether a table's ``split`` names the images of datasets of COCO by their titles."""
    words = split.replace(",", "").split()
    return all(title.startswith(_COCO) and title.removeprefix(_COCO) in words for title in titles)


def data_sentence(table: Table, measured: Mapping[Row, Measurement | None]) -> str:
    """On what ours was measured, and what that compares with.

    Args:
        table: the table.
        measured: what the evaluation of every row with a result was made on.

    Returns:
        A line; empty if no row has a result.
    """
    rows: dict[str, list[str]] = {}
    for row, measurement in measured.items():
        rows.setdefault(data_of(measurement), []).append(f"'{row.name}'")
    if not rows:
        return ""
    if len(rows) > 1:
        parts = (f"{', '.join(names)} on {data}" for data, names in rows.items())
        return f"Ours was not measured on one set of images: {'; '.join(parts)}."
    (data,) = rows
    titles = {title_of(*each) for m in measured.values() if m for each in m.test_data}
    if is_of(table.split, titles):
        return f"Ours was measured on {data}."
    return _apart(table.split, data)


def page_note(table: Table, test_data: Iterable[str]) -> str:
    """A line under a table whose rows are not tested on the paper's images, else nothing.

    Args:
        table: the table.
        test_data: the registered names that its configs test on.
    """
    titles = sorted({title_of(name) for name in test_data})
    ours = f"{' and '.join(titles)}, unless `--test-data` names others"
    return "" if is_of(table.split, titles) else _apart(table.split, ours)


def _apart(split: str, ours: str) -> str:
    return (
        f"The paper's numbers are on {split}; ours are on {ours}. Compare the rows of either "
        "with each other, not the paper's with ours."
    )
