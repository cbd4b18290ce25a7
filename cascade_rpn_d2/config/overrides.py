"""Changes to a config from a command line, refused where the config has no such key.

Detectron2's ``LazyConfig.apply_overrides`` adds a misspelt key silently, and the run goes on with
the value that was to be changed.
"""

from __future__ import annotations

from collections.abc import Sequence

from detectron2.config import LazyConfig
from omegaconf import DictConfig, OmegaConf

from .suggest import alternatives, nearest


def apply_overrides(config: DictConfig, overrides: Sequence[str]) -> DictConfig:
    """Change values of a config in place.

    Args:
        config: a loaded config.
        overrides: ``key=value`` with dots in the key, such as ``train.max_iter=100``;
            ``+key=value`` for a key that is new.

    Returns:
        ``config``.

    Raises:
        ValueError: if an override has another form, or if its key is not in the config and is not
            marked as new; suggests the nearest keys.
    """
    for override in overrides:
        key, equals, _ = override.partition("=")
        if not equals or not key.strip("+"):
            raise ValueError(
                f"'{override}' is no override: give key=value, such as train.max_iter=100."
            )
        known = keys(config)
        if not key.startswith("+") and key not in known:
            near = nearest(key, known)
            hint = f"did you mean {alternatives(near)}" if near else "check its spelling"
            raise ValueError(
                f"The config has no key '{key}': {hint}, or write +{override} to add a new key."
            )
        try:
            LazyConfig.apply_overrides(config, [override])
        # Hydra's parser, OmegaConf and Detectron2 each raise exceptions of their own here.
        except Exception as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise ValueError(f"Cannot apply the override '{override}': {reason}") from error
    return config


def keys(config: DictConfig) -> list[str]:
    """Every key of a config with dots, those of inner nodes included; list items are numbers."""
    return _keys_below("", OmegaConf.to_container(config, resolve=False))


def _keys_below(name: str, node: object) -> list[str]:
    if isinstance(node, dict):
        inner = list(node.items())
    elif isinstance(node, list):
        inner = list(enumerate(node))
    else:
        return []
    found = []
    for key, value in inner:
        path = f"{name}.{key}" if name else str(key)
        found += [path, *_keys_below(path, value)]
    return found
