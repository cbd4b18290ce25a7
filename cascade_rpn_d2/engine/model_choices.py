"""Several models to compare, as a command line names them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from ..model_zoo import apply_overrides, get_config
from .predictor import BatchPredictor, load_predictor

# What stands for the zoo's weights where an argument cannot be left out.
ZOO_WEIGHTS = "-"


@dataclass(frozen=True)
class ModelChoice:
    """A config, its weights, and what to call the two.

    Args:
        name: in headings and legends.
        config_file: name in the zoo, or path of a LazyConfig.
        weights: file or URL; None for the zoo's.
        overrides: ``key=value`` changes to the config.
    """

    name: str
    config_file: str
    weights: str | None = None
    overrides: tuple[str, ...] = ()

    def config(self) -> DictConfig:
        """The config, with its overrides.

        Raises:
            ValueError: if config or overrides do not exist.
        """
        return apply_overrides(get_config(self.config_file), self.overrides)

    def description(self) -> dict[str, Any]:
        """Where the model is from, as words for a file."""
        return {
            "config": self.config_file,
            "weights": self.weights or "of the zoo",
            "overrides": list(self.overrides),
        }

    def load(self, device: str | None = None, *, trained: bool = True) -> BatchPredictor:
        """The predictor of the model; see :func:`.load_predictor`."""
        predictor, _ = load_predictor(
            self.config_file,
            self.weights,
            overrides=self.overrides,
            device=device,
            trained=trained,
        )
        return predictor


def choose_models(
    config_files: Sequence[str] = (),
    weights: Sequence[str] = (),
    named: Sequence[Sequence[str]] = (),
    overrides: Sequence[str] = (),
) -> list[ModelChoice]:
    """The models of a command line.

    Args:
        config_files: configs that are called by the names of their files.
        weights: weights of these, in the same order, ``"-"`` for the zoo's; or none at all, which
            is the zoo's for all.
        named: (name, config file, weights) of further models.
        overrides: ``key=value`` changes to every config.

    Raises:
        ValueError: if there is no model, weights do not pair up with configs, or two models have
            one name.
    """
    if weights and len(weights) != len(config_files):
        raise ValueError(
            f"{len(config_files)} config files need as many weights, not {len(weights)}: give "
            f"'{ZOO_WEIGHTS}' for the zoo's."
        )
    pairs = zip(config_files, weights or [ZOO_WEIGHTS] * len(config_files), strict=True)
    triples = [(Path(file).stem, file, given) for file, given in pairs]
    triples += [(name, file, given) for name, file, given in named]
    if not triples:
        raise ValueError("There is no model: give a config file, such as demo/cascade_rpn.py.")
    names = [name for name, *_ in triples]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"Two models are called '{twice[0]}': give them names of their own.")
    return [
        ModelChoice(name, file, None if given == ZOO_WEIGHTS else given, tuple(overrides))
        for name, file, given in triples
    ]


def choose_model(
    config_file: str, weights: str | None = None, overrides: Sequence[str] = ()
) -> ModelChoice:
    """The model of a command line that takes only one; arguments as of :func:`choose_models`."""
    (model,) = choose_models([config_file], [weights] if weights else [], overrides=overrides)
    return model
