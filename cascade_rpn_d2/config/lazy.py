"""Looking at the nodes of a LazyConfig before they are instantiated."""

from __future__ import annotations

from typing import Any

from omegaconf import DictConfig


def is_of(node: Any, name: str) -> bool:
    """Whether a LazyCall makes an object of the class, or calls the function, with that name."""
    target = node.get("_target_") if isinstance(node, DictConfig) else None
    return str(getattr(target, "__qualname__", target)).rpartition(".")[2] == name
