"""Datasets seen with the classes of a model: categories are matched by name."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Sequence
from typing import Any

from detectron2.data import DatasetCatalog, MetadataCatalog

logger = logging.getLogger(__name__)

# A dataset in another order of its classes is called after itself and a digest of the order.
_MATCHED = re.compile(r"(.+)_by_name_[0-9a-f]{8}")


def classes_of_dataset(name: str) -> tuple[str, ...]:
    """Names of the classes 0, 1, ... of a dataset; empty if it does not tell them."""
    metadata = MetadataCatalog.get(name) if name in MetadataCatalog.list() else None
    return tuple(metadata.get("thing_classes") or ()) if metadata else ()


def original_name(name: str) -> str:
    """The name of the dataset that :func:`dataset_with_classes` has made one of; else the same."""
    match = _MATCHED.fullmatch(name)
    return match[1] if match else name


def dataset_with_classes(name: str, classes: Sequence[str], what: str = "the data") -> str:
    """A dataset whose classes are those of a model, in its order.

    Ids of categories may be any: only names count.

    Args:
        name: a registered dataset, or one that this function has made of such.
        classes: names of the model's classes 0, 1, ....
        what: how to call the dataset in a message.

    Returns:
        The same name if the order is equal, or if the dataset does not tell its classes. Else the
        name of a dataset that is registered here: the same images and annotation file, with every
        object in the class of its category's name.

    Raises:
        ValueError: if it has other categories than the model; names one.
    """
    own, wanted = list(classes_of_dataset(name)), list(classes)
    if own != wanted and original_name(name) in DatasetCatalog.list():
        name = original_name(name)
        own = list(classes_of_dataset(name))
    if not own or own == wanted:
        return name
    if sorted(own) != sorted(wanted) or len(set(own)) < len(own):
        odd = [x for x in own if x not in wanted] + [x for x in wanted if x not in own]
        differ = f"'{odd[0]}' is in one only" if odd else "their order differs, and names repeat"
        raise ValueError(
            f"The categories of {what} and of the model differ ({differ}): give data with the "
            f"categories of the model, {', '.join(map(repr, wanted[:10]))}"
            f"{', ...' if len(wanted) > 10 else ''}."
        )
    digest = hashlib.sha256("\n".join(wanted).encode()).hexdigest()[:8]
    matched = f"{name}_by_name_{digest}"
    logger.info(
        "The categories of %s have another order than the classes of the model: they are matched "
        "by name.",
        what,
    )
    _register(name, matched, wanted)
    return matched


def _register(name: str, matched: str, wanted: list[str]) -> None:
    source = MetadataCatalog.get(name)
    own = source.thing_classes
    position = [wanted.index(label) for label in own]  # of each of the dataset's classes

    def records() -> list[dict]:
        found = DatasetCatalog.get(name)
        return [
            {
                **record,
                "annotations": [
                    {**annotation, "category_id": position[annotation["category_id"]]}
                    for annotation in record["annotations"]
                ],
            }
            if "annotations" in record
            else record
            for record in found
        ]

    if matched in DatasetCatalog.list():  # its file may have changed since
        DatasetCatalog.remove(matched)
    if matched in MetadataCatalog.list():
        MetadataCatalog.remove(matched)
    DatasetCatalog.register(matched, records)
    ids = source.get("thing_dataset_id_to_contiguous_id")
    changed: dict[str, Any] = {"thing_classes": list(wanted), "coco_folder": None}
    if ids:
        changed["thing_dataset_id_to_contiguous_id"] = {i: position[c] for i, c in ids.items()}
    colors = source.get("thing_colors")
    if colors:
        changed["thing_colors"] = [colors[own.index(label)] for label in wanted]
    kept = {key: value for key, value in source.as_dict().items() if key != "name"}
    MetadataCatalog.get(matched).set(**{**kept, **changed})
