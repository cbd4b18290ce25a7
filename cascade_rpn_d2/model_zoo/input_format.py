"""How a config feeds images to its model at test time, read from its test mapper.

One source of truth: what ``dataloader.test.mapper`` does during an evaluation is what a predictor
must do to a photograph.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from detectron2.data import transforms as T
from detectron2.utils.registry import locate
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ..data import ImageReader, OpenCVResizeShortestEdge, ResizeShortestEdge


@dataclass(frozen=True)
class InputFormat:
    """What happens to an image between the file and the model.

    Args:
        image_format: channel order that the model expects, ``"RGB"`` or ``"BGR"``.
        min_size: pixels that the shorter edge is scaled to; 0 for no scaling.
        max_size: pixels that the longer edge may have after scaling.
        datasets: names of the datasets that the config is evaluated on; the class names of the
            first are those of the model.
        step: what scales, made of the two sizes.
        reader: reads image files.
    """

    image_format: str = "BGR"
    min_size: int = 0
    max_size: int = sys.maxsize
    datasets: tuple[str, ...] = ()
    step: Callable[[int, int], T.Augmentation] = ResizeShortestEdge
    reader: ImageReader = ImageReader()

    def resize(self) -> T.Augmentation | None:
        """The augmentation that scales an image, None for no scaling."""
        if self.min_size == 0:
            return None
        return self.step(self.min_size, self.max_size)

    @classmethod
    def from_config(cls, config: DictConfig) -> InputFormat:
        """Read ``dataloader.test`` of a LazyConfig.

        Raises:
            ValueError: if there is no test mapper, if it changes images by more than one
                ``ResizeShortestEdge`` to a fixed size, which is all that a predictor can undo, or
                if its ``depth_range`` or ``max_pixels`` cannot be meant.
        """
        mapper = _select(config, "dataloader.test.mapper")
        image_format = _select(mapper, "image_format")
        if image_format not in ("RGB", "BGR"):
            raise ValueError(
                "The config must say in dataloader.test.mapper.image_format whether its model "
                f"takes 'RGB' or 'BGR', instead of {image_format!r}."
            )
        steps = list(_select(mapper, "augmentations") or ())
        min_size, max_size = _sizes(steps)
        names = _select(config, "dataloader.test.dataset.names")
        datasets = tuple(names) if OmegaConf.is_list(names) else (names,) if names else ()
        reader = reader_of(mapper)
        return cls(image_format, min_size, max_size, datasets, _step(steps), reader)


def reader_of(mapper: Any) -> ImageReader:
    """What reads images as a mapper of a LazyConfig does.

    Raises:
        ValueError: if its ``depth_range`` or ``max_pixels`` cannot be meant.
    """
    options = {name: _select(mapper, name) for name in ("depth_range", "max_pixels")}
    return ImageReader(**{name: value for name, value in options.items() if value is not None})


def require_images_suffice(config: DictConfig, name: str) -> None:
    """Refuse a detector that cannot predict from an image alone.

    Args:
        config: a LazyConfig.
        name: how to call the config in the message.

    Raises:
        ValueError: if its model has no proposal generator of its own.
    """
    model = _select(config, "model")
    if OmegaConf.is_dict(model) and "proposal_generator" in model and model.get("roi_heads"):
        if model.proposal_generator is None:
            raise ValueError(
                f"The model of {name} has no proposal generator, it needs precomputed proposals "
                "and cannot predict on images alone: evaluate it with `cascade-rpn eval` "
                "and --test-proposals, or predict with a Faster R-CNN config."
            )


def _select(config: Any, key: str) -> Any:
    """The value at a key with dots; None where there is none or where it points nowhere."""
    if not OmegaConf.is_config(config):
        return None
    try:
        return OmegaConf.select(config, key)
    except OmegaConfBaseException:
        return None


def _sizes(steps: Sequence[Any]) -> tuple[int, int]:
    """Shortest edge and limit of the longest of a list of at most one resize."""
    if not steps:
        return 0, sys.maxsize
    target = _target(steps[0])
    if len(steps) > 1 or target not in _RESIZES:
        raise ValueError(
            "A predictor can follow a test mapper whose augmentations are one ResizeShortestEdge "
            f"or none, not {len(steps)} beginning with {getattr(target, '__name__', target)}."
        )
    edge = steps[0].get("short_edge_length")
    edges = {int(e) for e in ([edge] if isinstance(edge, int) else edge)}
    if len(edges) != 1:
        raise ValueError(
            f"ResizeShortestEdge of the test mapper must have one short_edge_length, not {edges}."
        )
    return edges.pop(), int(steps[0].get("max_size", sys.maxsize))


_RESIZES = (T.ResizeShortestEdge, ResizeShortestEdge, OpenCVResizeShortestEdge)


def _step(steps: Sequence[Any]) -> Callable[[int, int], T.Augmentation]:
    if not steps or _target(steps[0]) is not OpenCVResizeShortestEdge:
        return ResizeShortestEdge
    return partial(OpenCVResizeShortestEdge, in_float=steps[0].get("in_float", True))


def _target(step: Any) -> Any:
    """The class of an augmentation or of the call that makes it."""
    target = step.get("_target_") if isinstance(step, DictConfig) else type(step)
    return locate(target) if isinstance(target, str) else target
