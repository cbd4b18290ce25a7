"""How large an experiment of a table is run: as in the paper, or small enough for two CPU cores."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from omegaconf import DictConfig

from ..config import use_authors_recipe
from ..data import num_classes
from ..model_zoo import get_config
from .shrink import shrink

_SMALL = "demo/rpn.py"
# Its way of reading photographs is used for data other than the demo's drawings.
_PHOTOGRAPHS = "small/rpn_r18_fpn_1k.py"


@dataclass(frozen=True)
class Scale:
    """One way to run experiments.

    Args:
        name: what it is called on a command line.
        adapt: changes an experiment in place; told whether the data are the user's own.
        data: what it runs on unless told otherwise.
        seed: of all its runs.
    """

    name: str
    adapt: Callable[[DictConfig, bool], None]
    data: str
    seed: int = 1


def to_full(config: DictConfig, own_data: bool) -> None:
    """The paper's protocol: its data, schedule and what its authors trained with.

    Rows with numbers of mmdet >= 2.0 have their protocol in the configs as they are.
    """
    use_authors_recipe(config.model, config.lr_multiplier)


def to_tiny(config: DictConfig, own_data: bool) -> None:
    """The backbone, schedule and data of the demo; own images are read at 256 px."""
    base = get_config(_SMALL)
    if own_data:
        photographs = get_config(_PHOTOGRAPHS).dataloader
        for part in ("train", "test"):
            base.dataloader[part].mapper.augmentations = photographs[part].mapper.augmentations
    shrink(config, base)
    detector = config.model.get("roi_heads") or config.model
    if not own_data and "num_classes" in detector:
        detector.num_classes = num_classes(config.dataloader.train.dataset.names)


SCALES = {
    scale.name: scale
    for scale in (
        Scale("tiny", to_tiny, data="the demo dataset"),
        Scale("full", to_full, data="COCO 2017"),
    )
}
