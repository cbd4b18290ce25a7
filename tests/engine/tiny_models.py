"""The tiny models of ``tests/tiny_configs``, with the weights that they are built with."""

from __future__ import annotations

from pathlib import Path

import torch

from cascade_rpn_d2 import model_zoo
from cascade_rpn_d2.engine.model_choices import ModelChoice

FOLDER = Path(__file__).resolve().parents[1] / "tiny_configs"


def tiny_config_file(name: str) -> str:
    """Path of a tiny config, such as ``"tiny_rpn"``."""
    return str(FOLDER / f"{name}.py")


def tiny_model(name: str, *overrides: str) -> ModelChoice:
    """The choice of a tiny config, without weights."""
    return ModelChoice(name, tiny_config_file(name), None, overrides)


def write_weights(name: str, folder: Path) -> str:
    """Write the initial weights of a tiny config; returns the path."""
    file = folder / f"{name}.pth"
    model = model_zoo.get(tiny_config_file(name), device="cpu")
    torch.save({"model": model.state_dict()}, file)
    return str(file)
