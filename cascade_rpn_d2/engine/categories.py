"""The classes of a run, and data that are matched to them by name."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from detectron2.data import DatasetCatalog, MetadataCatalog
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from torch import Tensor, nn

from ..checkpoint.categories import KEY, categories_in, categories_of_file
from ..data.categories import dataset_with_classes
from ..files.untrusted import shown
from ..model_zoo import instantiate_model

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Categories:
    """The classes of a model.

    Args:
        names: of the classes 0, 1, ...; empty if they are not known.
        ids: ids of the classes in the dataset's annotations; empty for 1, 2, ...
    """

    names: tuple[str, ...] = ()
    ids: tuple[int, ...] = ()

    @classmethod
    def from_config(cls, config: DictConfig) -> Categories:
        """The classes that a LazyConfig states as ``train.categories``, or else those of its first
        test dataset, as far as its metadata are known.

        None are known if the model has another number of classes: it is for other data.

        Raises:
            ValueError: if what is stated has another form.
        """
        stated = _stated(config)
        if stated.names:
            return stated
        datasets = dataset_names(config, "test")
        if not datasets:
            return cls()
        found = cls.from_dataset(datasets[0])
        return found if found.fit(config) else cls()

    @classmethod
    def from_dataset(cls, name: str) -> Categories:
        """The classes that the metadata of a dataset tell."""
        metadata = MetadataCatalog.get(name)
        names = tuple(metadata.get("thing_classes") or ())
        to_class = metadata.get("thing_dataset_id_to_contiguous_id") or {}
        return cls(names, tuple(sorted(to_class, key=to_class.__getitem__)))

    @classmethod
    def from_checkpoint(cls, content: Mapping[str, Any]) -> Categories:
        """The classes that a checkpoint of ours states."""
        return cls(*categories_in(content))

    def fit(self, config: DictConfig) -> bool:
        """Whether the model of a config has so many classes, or none."""
        return all(node.num_classes == len(self.names) for node in class_counts(config))

    def id_of(self, index: int) -> int:
        """The id in the annotations of a class."""
        return self.ids[index] if index < len(self.ids) else index + 1

    def stated(self) -> list[dict[str, Any]]:
        """As ``train.categories`` of a config has them."""
        return [{"id": self.id_of(i), "name": name} for i, name in enumerate(self.names)]

    def for_checkpoint(self) -> dict[str, Any]:
        """What a checkpoint has besides its weights."""
        if not self.names:
            return {}
        ids = [self.id_of(i) for i in range(len(self.names))]
        return {KEY: {"names": list(self.names), "ids": ids}}


def class_counts(config: DictConfig) -> list[DictConfig]:
    """The nodes of a model that say how many classes it has; none of a model of proposals."""
    model = config.model
    nodes = (model, model.get("roi_heads"))
    return [node for node in nodes if node is not None and "num_classes" in node]


def _stated(config: DictConfig) -> Categories:
    """``train.categories`` of a config, in which others may have written anything."""
    stated = OmegaConf.select(config, "train.categories")
    if not stated:
        return Categories()
    found = OmegaConf.to_container(stated) if OmegaConf.is_list(stated) else [stated]
    for entry in found:
        known = isinstance(entry, dict) and type(entry.get("id")) is int
        if not (known and isinstance(entry.get("name"), str)):
            raise ValueError(
                f"train.categories has {shown(str(entry), 40)}: it must be a list of {{id: <number "
                "in the annotations>, name: <text>}, or null."
            )
    return Categories(tuple(c["name"] for c in found), tuple(c["id"] for c in found))


def dataset_names(config: DictConfig, part: str) -> list[str]:
    """The names of the datasets of ``dataloader.<part>``; none if they cannot be told.

    Raises:
        ValueError: if one is no text.
    """
    key = f"dataloader.{part}.dataset.names"
    try:
        names = OmegaConf.select(config, key) or []
    except OmegaConfBaseException:
        return []
    found = list(names) if OmegaConf.is_list(names) or isinstance(names, list | tuple) else [names]
    for name in found:
        if not isinstance(name, str):
            raise ValueError(
                f"{key} has {shown(str(name), 40)}: it must be the name of a dataset, or a list of "
                "names."
            )
    return found


def match_data(config: DictConfig, part: str, names: tuple[str, ...]) -> None:
    """Have the datasets of a part of a detector's config in the order of these classes, in place.

    Datasets that are not registered are left as they are.

    Raises:
        ValueError: if one has other categories.
    """
    datasets = dataset_names(config, part)
    if not names or not datasets or not class_counts(config):
        return
    known = DatasetCatalog.list()
    what = f"the {part} data"
    matched = [dataset_with_classes(x, names, what) if x in known else x for x in datasets]
    if matched != datasets:
        node = config.dataloader[part].dataset
        node.names = matched[0] if isinstance(node.names, str) else matched


def take_over_classes(config: DictConfig, names: tuple[str, ...]) -> None:
    """Have the data of a run in the order of these classes, in place.

    ``train.categories`` then says that order, by which whoever reads the config matches them again.

    Raises:
        ValueError: if data that are used have other categories.
    """
    own = _of_run(config)
    match_data(config, "train", names)
    if config.dataloader.get("evaluator") is not None:
        match_data(config, "test", names)
    if own.names != names and sorted(own.names) == sorted(names) and class_counts(config):
        ids = {name: own.id_of(i) for i, name in enumerate(own.names)}
        stated = [{"id": ids[name], "name": name} for name in names]
        OmegaConf.update(config, "train.categories", stated, force_add=True)


def adopt_categories(config: DictConfig, weights: str, *, resumed: bool = False) -> bool:
    """Have the classes of a run in the order of the weights that it starts from, in place.

    Args:
        config: of the run, whose data are registered.
        weights: file or address of a checkpoint; one that does not state its classes changes
            nothing.
        resumed: whether the run goes on with all of that checkpoint.

    Returns:
        Whether the weights are of other categories, as many as the model has, so that its class
        layers must start anew.

    Raises:
        ValueError: if a run is resumed with other categories.
    """
    stored = Categories(*categories_of_file(weights)) if weights else Categories()
    names = dataset_names(config, "train")
    own = _of_run(config)
    if not stored.names or not own.names or not class_counts(config):
        return False
    if sorted(own.names) == sorted(stored.names):
        take_over_classes(config, stored.names)
        return False
    odd = sorted(set(own.names) ^ set(stored.names))[0]
    if resumed:
        raise ValueError(
            f"The run was trained on other categories than {', '.join(names)} has ('{odd}' is in "
            "one only): resume it with the data that it began with, or give another --output-dir."
        )
    if not stored.fit(config):
        return False  # the shapes differ too
    logger.warning(
        "%s is of other categories than the training data ('%s' is in one only): the layers of "
        "the classes start anew.",
        *(weights, odd),
    )
    return True


def run_categories(config: DictConfig) -> dict[str, Any]:
    """What the checkpoints of a run say of its classes; nothing for a model of proposals."""
    return _of_run(config).for_checkpoint() if class_counts(config) else {}


def _of_run(config: DictConfig) -> Categories:
    """The classes that a training learns: stated, or of its training data."""
    stated = _stated(config)
    if stated.names:
        return stated
    names = dataset_names(config, "train")
    found = Categories.from_dataset(names[0]) if names else Categories()
    return found if found.fit(config) else Categories()


def class_layers(config: DictConfig, model: nn.Module) -> dict[str, Tensor]:
    """Copies of the weights whose shape depends on the number of classes.

    Args:
        config: of the model.
        model: as it has been built.
    """
    nodes = class_counts(config)
    for node in nodes:
        node.num_classes += 1
    try:
        other = instantiate_model(config).state_dict()
    finally:
        for node in nodes:
            node.num_classes -= 1
    own = model.state_dict()
    return {name: x.clone() for name, x in own.items() if other[name].shape != x.shape}
