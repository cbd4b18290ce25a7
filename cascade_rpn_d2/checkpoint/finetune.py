"""From a trained Faster R-CNN to the weights that a fine-tuning on proposals starts from.

Guided Anchoring, section 3.5: the proposal generator is dropped, all else is kept. Where the
fine-tuning has other regression statistics than the training had, the box regression is rescaled to
them. The detector then finds, on the same proposals, what it has found before; otherwise the new
statistics would halve or double the way that it has learned to move every box.

Detectron2's own heads limit how much a box may grow, ours (:mod:`..modeling.box_coder`) also how
much it may shrink, both to 62.5 times: a difference only for boxes that no trained detector makes.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..files.atomic import write_atomically
from .checkpointer import Checkpointer
from .export import AUTHOR
from .foreign_file import without_wrapper
from .training_config import StatedInput, input_differences

logger = logging.getLogger(__name__)

_GENERATOR = "proposal_generator."
_PREDICTOR = "roi_heads.box_predictor."
_REGRESSION = (f"{_PREDICTOR}bbox_pred.weight", f"{_PREDICTOR}bbox_pred.bias")
_STAGE = re.compile(rf"{re.escape(_PREDICTOR)}\d+\.")
# Of the config today; checkpoints of early versions of Detectron2 have them too.
_NORMALISATION = ("pixel_mean", "pixel_std")


def fast_rcnn_from_faster(
    state: Mapping[str, Tensor], *, from_weights: Sequence[float], to_weights: Sequence[float]
) -> dict[str, Tensor]:
    """The weights of a Faster R-CNN without its proposal generator, for other statistics.

    A regression output is the delta times its weight, so its row is multiplied by ``to / from``.

    Args:
        state: names and values of Detectron2's Faster or Fast R-CNN; it is not changed. The layer
            of the regression has the shapes (4K, D) and (4K,), a row for each of dx, dy, dw, dh of
            each of K classes, or of all together.
        from_weights: ``box2box_transform.weights`` of the training, the reciprocals of the standard
            deviations of (dx, dy, dw, dh); those of Detectron2's zoo are 10 10 5 5.
        to_weights: those of the fine-tuning.

    Raises:
        ValueError: if these are not four positive numbers each; or, in words that begin with "it",
            if the state is not of a detector with one box head.
    """
    factors = _ratios(to_weights, from_weights)
    stage = next((key for key in state if _STAGE.match(key)), None)
    if stage is not None:
        raise ValueError(
            f"it has '{stage}' of Cascade R-CNN, whose heads have statistics of their own: give a "
            "Faster R-CNN."
        )
    absent = [key for key in _REGRESSION if key not in state]
    if absent:
        raise ValueError(f"it has no '{absent[0]}': give a Faster R-CNN of Detectron2 or of ours.")
    kept = {
        key: value
        for key, value in state.items()
        if not key.startswith(_GENERATOR) and key not in _NORMALISATION
    }
    for key in _REGRESSION:
        kept[key] = _scale_rows(kept[key], factors)
    return kept


def prepare_finetuning(
    source: str,
    target: str | os.PathLike[str],
    model: nn.Module,
    *,
    from_weights: Sequence[float],
    to_weights: Sequence[float],
) -> None:
    """Write the checkpoint that a fine-tuning starts from.

    Args:
        source: file or address of the trained detector's checkpoint.
        target: the file to write, ending in ``.pth``; its folder must exist.
        model: what is to be fine-tuned, a detector without a proposal generator; it is given the
            weights too.
        from_weights: as of :func:`fast_rcnn_from_faster`.
        to_weights: likewise.

    Raises:
        OSError: if the checkpoint cannot be read, or the file not be written.
        ValueError: if the checkpoint is no such detector's, or not of the same network as the
            model; nothing is written.
    """
    _Loader(model, from_weights, to_weights).load(source, checkpointables=[])
    content = {"model": model.state_dict(), "__author__": AUTHOR, "matching_heuristics": False}
    write_atomically(target, lambda file: torch.save(content, file))


class _Loader(Checkpointer):
    """Gives a model the weights of a checkpoint as they are after :func:`fast_rcnn_from_faster`."""

    def __init__(
        self, model: nn.Module, from_weights: Sequence[float], to_weights: Sequence[float]
    ) -> None:
        super().__init__(model)
        self._from_weights, self._to_weights = tuple(from_weights), tuple(to_weights)

    def _load_model(self, checkpoint: dict[str, Any]) -> Any:
        self._convert_ndarray_to_tensor(checkpoint["model"])
        state = without_wrapper(checkpoint["model"])
        try:
            checkpoint["model"] = fast_rcnn_from_faster(
                state, from_weights=self._from_weights, to_weights=self._to_weights
            )
        except ValueError as error:
            raise ValueError(f"Checkpoint {self._path} cannot be fine-tuned: {error}") from error
        mean, std = (
            tuple(state[key].flatten().tolist()) if key in state else None for key in _NORMALISATION
        )
        for note in input_differences(StatedInput(mean, std), self.model):
            logger.warning("%s: %s", self._path, note)
        logger.info(
            "The %d tensors of the proposal generator in %s are dropped; the box regression is "
            "rescaled from weights %s to %s.",
            sum(key.startswith(_GENERATOR) for key in state),
            *(self._path, self._from_weights, self._to_weights),
        )
        return super()._load_model(checkpoint)


def _ratios(numerators: Sequence[float], denominators: Sequence[float]) -> list[float]:
    for weights in (numerators, denominators):
        if len(weights) != 4 or not all(weight > 0 for weight in weights):
            raise ValueError(
                "Regression weights must be four positive numbers (dx, dy, dw, dh), not "
                f"{tuple(weights)}."
            )
    return [n / d for n, d in zip(numerators, denominators, strict=True)]


def _scale_rows(value: Tensor, factors: Sequence[float]) -> Tensor:
    """(4K, ...) with the rows dx, dy, dw, dh of every class times the factor of each."""
    rows = value.float().unflatten(0, (-1, 4))  # float32, as published files hold float16
    scale = rows.new_tensor(factors).view(4, *[1] * (value.dim() - 1))
    return (rows * scale).flatten(0, 1)
