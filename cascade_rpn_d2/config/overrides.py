"""Changes to a config from a command line, refused where they cannot be meant.

Detectron2's ``LazyConfig.apply_overrides`` adds a misspelt key silently, and takes any value for
any key: the run goes on with the value that was to be changed, or ends in a traceback.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from .kinds import fitting
from .suggest import alternatives, nearest
from .yaml_file import require_known_config, require_known_value


def apply_overrides(
    config: DictConfig, overrides: Sequence[str], *, prefix: str = ""
) -> DictConfig:
    """Change values of a config in place.

    Args:
        config: a loaded config.
        overrides: ``key=value`` with dots in the key, such as ``train.max_iter=100``, in the
            grammar of Hydra; ``+key=value`` for a key that is new, or to set one to any value.
        prefix: what a command line has in front of the keys, for advice on what to write there.

    Returns:
        ``config``.

    Raises:
        ValueError: if an override has another form, if its key is not in the config and is not
            marked as new, or if its value is of another kind than the one it replaces, see
            :mod:`.kinds`; suggests the nearest keys, or says what the key takes. Also if a config
            in YAML that is not trusted would come to name what no config of the zoo does.
    """
    for text in overrides:
        name, equals, _ = text.partition("=")
        key = name.lstrip("+")
        if not equals or not key:
            raise ValueError(
                f"'{text}' is no override: give key=value, such as train.max_iter=100."
            )
        is_new = name.startswith("+")
        if not is_new:
            _require_key(config, key, text, prefix)
        value = _value_of(text)
        require_known_value(config, key, value)
        if not is_new:
            value = fitting(config, key, value, text)
        try:
            _require_parents(config, key)
            OmegaConf.update(config, key, value, merge=True)
        except (OmegaConfBaseException, ValueError, TypeError, KeyError, IndexError) as error:
            raise ValueError(f"Cannot apply the override '{text}': {_reason(error)}") from error
    if overrides:
        require_known_config(config)
    return config


def keys(config: DictConfig) -> list[str]:
    """Every key of a config with dots, those of inner nodes included; list items are numbers."""
    return _keys_below("", OmegaConf.to_container(config, resolve=False))


def _value_of(text: str) -> Any:
    """The value of an override, as Hydra reads it."""
    try:
        (override,) = OverridesParser.create().parse_overrides([text])
    except Exception as error:  # of Hydra's and of its parser's
        raise ValueError(f"Cannot apply the override '{text}': {_reason(error)}") from error
    if override.is_sweep_override():
        raise ValueError(f"'{text}' has several values: give a list in brackets, key=[a,b].")
    return override.value()


def _require_key(config: DictConfig, key: str, text: str, prefix: str) -> None:
    known = keys(config)
    if key.startswith("~"):
        raise ValueError(f"'{text}' deletes a key, which no override does: give key=null.")
    if key not in known:
        near = [f"{prefix}{name}" for name in nearest(key, known)]
        hint = f"did you mean {alternatives(near)}" if near else "check its spelling"
        raise ValueError(
            f"The config has no key '{key}': {hint}, or write +{prefix}{text} to add a new key."
        )


def _require_parents(config: DictConfig, key: str) -> None:
    """Check that nothing above a key is a plain value, which an update would replace."""
    parts = key.split(".")
    for end in range(1, len(parts)):
        above = OmegaConf.select(config, ".".join(parts[:end]))
        if above is None:
            return
        if not OmegaConf.is_config(above):
            raise ValueError(f"{'.'.join(parts[:end])} is {above!r} and has no keys.")


def _reason(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _keys_below(name: str, node: Any) -> list[str]:
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
