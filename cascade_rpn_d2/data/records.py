"""Reading the records of a registered dataset."""

from __future__ import annotations

from typing import Any

from detectron2.data import DatasetCatalog


def read_ahead(name: str) -> list[dict[str, Any]]:
    """Detectron2's dicts of a registered dataset, for a look at them before a loader is built.

    The next who asks ``DatasetCatalog`` for the dataset is given the same, so that a file of half a
    gigabyte is read once; those after that read it again.

    Args:
        name: of the dataset.

    Returns:
        The dicts, which are not to be changed.
    """
    records = DatasetCatalog.get(name)
    read = DatasetCatalog[name]

    def give() -> list[dict[str, Any]]:
        DatasetCatalog[name] = read
        return records

    DatasetCatalog[name] = give
    return records
