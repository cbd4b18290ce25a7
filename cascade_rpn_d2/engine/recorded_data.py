"""The folders of data that a run was given on the command line, as its config records them.

``train.datasets`` of a ``config.yaml`` holds ``{name: ..., data: images_dir:annotations.json}`` of
each, with absolute paths. They are only ever read as ``--train-data`` and ``--test-data`` are: as a
folder of images and a JSON file of annotations.
"""

from __future__ import annotations

import logging

from detectron2.data import DatasetCatalog
from omegaconf import DictConfig, OmegaConf

from ..data import find_dataset
from ..data.categories import original_name
from ..data.coco_folder import split_spec
from ..files.untrusted import shown
from .categories import Categories, dataset_names, match_data

logger = logging.getLogger(__name__)


def record_data(config: DictConfig, name: str, data: str) -> None:
    """Have a config know where a dataset comes from, in place.

    Args:
        config: with ``train``.
        name: of the dataset in the config.
        data: what a command line called it.
    """
    if ":" in data and data not in DatasetCatalog.list():
        data = ":".join(map(str, split_spec(data)))
    if data == name:
        return
    others = [entry for entry in _entries(config) if entry["name"] != name]
    OmegaConf.update(
        config, "train.datasets", [*others, {"name": name, "data": data}], force_add=True
    )


def recorded_data(config: DictConfig) -> dict[str, str]:
    """What a command line called the datasets of a config, by their names; those it named by their
    registered names are left out."""
    return {original_name(entry["name"]): entry["data"] for entry in _entries(config)}


def register_recorded(config: DictConfig, part: str, option: str | None = None) -> None:
    """Register the recorded datasets of ``dataloader.<part>`` that this process does not know.

    The config is changed in place if a dataset has another name now. Those of a detector are
    matched to ``train.categories`` by name, also those that its run had to match before.

    Args:
        config: with ``dataloader``; its ``train.datasets`` may be absent.
        part: ``"train"`` or ``"test"``.
        option: of the command line that gives other data, for messages; ``--<part>-data`` by
            default.

    Raises:
        ValueError: if the recorded data cannot be used; asks for the option.
    """
    recorded = recorded_data(config)
    names = dataset_names(config, part)
    known = DatasetCatalog.list()
    stated = OmegaConf.select(config, "train.categories")
    classes = Categories.from_config(config).names if stated else ()
    missing = {}
    for name in names:
        original = original_name(name)
        data = recorded.get(original)
        if data is None and classes and original in known:
            data = original  # registered in Python, and matched by the run
        if data is not None and name not in known:
            missing[name] = data
    if not missing:
        return
    found = {}
    try:
        for name, data in missing.items():
            logger.info("The config's %s data are %s.", part, data)
            _require_absolute(data)
            found[name] = find_dataset(data)
        node = config.dataloader[part].dataset
        renamed = [found.get(name, name) for name in names]
        node.names = renamed[0] if isinstance(node.names, str) else renamed
        match_data(config, part, classes)
    except (OSError, ValueError) as error:
        reason = str(error).rstrip(".")
        raise ValueError(
            f"The {part} data that the config was made with cannot be used ({reason}): give "
            f"{option or f'--{part}-data'} images_dir:annotations.json."
        ) from error


def _require_absolute(data: str) -> None:
    """What a run records is absolute: anything else would be other data in another folder."""
    if data in DatasetCatalog.list() or ":" not in data:
        return
    folder, file = (str(path) for path in split_spec(data))
    if data != f"{folder}:{file}":
        raise ValueError(f"{shown(data)} has no absolute paths")


def _entries(config: DictConfig) -> list[dict[str, str]]:
    """What is recorded, leaving out what has another form."""
    stated = OmegaConf.select(config, "train.datasets")
    entries = OmegaConf.to_container(stated) if OmegaConf.is_list(stated) else []
    return [
        entry
        for entry in entries
        if isinstance(entry, dict)
        and isinstance(entry.get("name"), str)
        and isinstance(entry.get("data"), str)
    ]
