"""Test-time augmentation of an evaluation, as the ``tta`` of a config says."""

from __future__ import annotations

import copy
import logging

from detectron2.config import instantiate
from omegaconf import DictConfig, OmegaConf
from torch import nn

from ..data import ResizeShortestEdge
from ..model_zoo import InputFormat, get_config
from ..modeling import AugmentedViews, DetectorWithTTA

logger = logging.getLogger(__name__)


def use_default_tta(config: DictConfig) -> None:
    """Give a config without ``tta`` that of ``common/tta.py``, in place."""
    if config.get("tta") is None:
        config.tta = get_config("common/tta.py").tta


def with_tta(config: DictConfig, model: nn.Module) -> tuple[DictConfig, DetectorWithTTA]:
    """What is evaluated instead of a model, and how.

    The first view is that of the plain evaluation: what the resize of ``dataloader.test.mapper``
    makes of an image. The mapper of the returned config leaves that to the model and hands images
    out in their own size, for no view is to be scaled twice.

    Args:
        config: a training config, left as it is; by default ``tta`` is that of ``common/tta.py``.
        model: of the config; in whatever mode and on whatever device.

    Returns:
        A copy of the config, and the model that looks at every image in several views, each of
        which counts as an image where guided anchors are counted.

    Raises:
        ValueError: if the model is no detector in two stages, if a value of ``tta`` is not
            possible, or if the test mapper does more than one resize.
    """
    config = copy.deepcopy(config)
    use_default_tta(config)
    options = config.tta
    if not OmegaConf.is_list(options.min_sizes):
        raise ValueError(
            f"tta.min_sizes is {options.min_sizes!r}: it must be a list of shorter sides in "
            "pixels, such as [600,1000,1200]."
        )
    plain = InputFormat.from_config(config)
    sizes = [(plain.min_size, plain.max_size)]
    sizes += [(shorter, options.max_size) for shorter in options.min_sizes]
    views = AugmentedViews(sizes, flip=options.flip, resize=ResizeShortestEdge)
    merge = instantiate(options.merge)
    detector = DetectorWithTTA(model, views, merge, batch_size=options.batch_size)
    if plain.min_size:
        config.dataloader.test.mapper.augmentations = []
    logger.info("Test-time augmentation: %d views an image, merged by %s", len(views), merge)
    return config, detector
