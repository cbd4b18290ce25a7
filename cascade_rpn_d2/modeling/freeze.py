"""Parts of a model that a training leaves as they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd


def freeze_parts(model: nn.Module, names: Sequence[str]) -> None:
    """Freeze parts of a model in place: nothing of them changes any more, whatever its mode.

    Their weights have no gradient, their batch norms take the stored statistics and leave them
    alone, and nothing is dropped in them. The state dict keeps its names.

    Args:
        model: not wrapped for several processes.
        names: of modules in it, such as ``"backbone"``.

    Raises:
        ValueError: if the model has no such part; names those that it has.
    """
    known = [name for name, _ in model.named_modules() if name]
    for name in names:
        if name not in known:
            parts = ", ".join(name for name, _ in model.named_children())
            raise ValueError(f"The model has no part '{name}' to freeze: it has {parts}.")
        part = model.get_submodule(name)
        part.requires_grad_(False)
        for module in part.modules():
            if isinstance(module, _BatchNorm | _DropoutNd):
                # A model is switched to training again and again, and its parts with it.
                module.register_forward_pre_hook(_evaluate)


def _evaluate(module: nn.Module, inputs: Any) -> None:
    module.eval()
