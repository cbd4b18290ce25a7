"""Which values may take the place of a value of a config.

A value is replaced by one of its kind: a number by a number, a list by a list of the like, a node
by changes to its keys. Where the annotation of the class or function that takes it, or the lack of
one, allows something else too, that is believed. ``null`` is left to whoever reads the config,
unless the annotation rules it out.
"""

from __future__ import annotations

import inspect
import re
from typing import Any

from detectron2.utils.registry import locate
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from .files import get_config

_SCALARS = ("bool", "int", "float", "str")


def fitting(config: DictConfig, key: str, value: Any, text: str) -> Any:
    """A value of an override as the config is to have it.

    Args:
        config: with what the value is to replace.
        key: of an existing value, with dots.
        value: the new one, as Hydra reads it.
        text: the override, to call it in the message.

    Returns:
        ``value``, or what is meant by it: ``1e4`` is a whole number where one is asked for, and
        ``2026`` is text where a name is.

    Raises:
        ValueError: if it is of another kind; says what the key takes.
    """
    before = _select(config, key)
    if before is None and key.startswith("train."):
        before = _select(get_config("common/train.py"), key)  # what it would be were it not null
    takes = _annotation(config, key)

    def require(fits: bool, kind: str) -> None:
        if not fits:
            raise ValueError(f"'{text}' does not fit: {key} takes {kind}.")

    if key.rpartition(".")[2] == "_target_":
        require(_is_found(value), "the full name of a class or function that can be imported")
        return value
    if value is None:
        required = takes in _SCALARS or "." not in key and isinstance(before, DictConfig)
        require(not required, _kind_of(before))
        return value
    if isinstance(value, str) and "${" in value:
        return value  # of the kind of what it points to
    if isinstance(before, DictConfig):
        require(isinstance(value, dict), _kind_of(before))
        for name, inner in value.items():
            require(name in before.keys(), f"no '{name}', but {', '.join(map(str, before))}")
            value[name] = fitting(config, f"{key}.{name}", inner, text)
    elif isinstance(before, ListConfig):
        plain = OmegaConf.to_container(before, resolve=False)
        if takes == "" and plain and not isinstance(plain[0], list) and _like(plain[0], value):
            return value  # one instead of several
        require(_like(plain, value), _kind_of(before))
        if len(plain) == _length(takes):
            number = len(plain)
            require(len(value) == number, f"{number} values, such as {_shown(before)}")
    elif isinstance(before, bool):
        require(isinstance(value, bool), _kind_of(before))
    elif isinstance(before, int | float):
        if isinstance(value, list):
            require(_takes_list(takes) and _like([before], value), _kind_of(before))
            return value
        require(_like(before, value), _kind_of(before))
        if isinstance(before, int) and isinstance(value, float):
            if value.is_integer():
                return int(value)
            require(takes not in ("int", "int | None"), f"a whole number, such as {before}")
    elif isinstance(before, str):
        if isinstance(value, bool | int | float):  # a folder called 2026
            return text.partition("=")[2] if text.startswith(f"{key}=") else str(value)
        if isinstance(value, list):
            require(_takes_list(takes) and all(isinstance(x, str) for x in value), "a text")
        require(not isinstance(value, dict), "a text")
    elif callable(before):
        require(isinstance(value, str), "a name")
    return value


def _select(config: DictConfig, key: str) -> Any:
    """The value at a key, None where it points nowhere."""
    try:
        return OmegaConf.select(config, key)
    except (OmegaConfBaseException, ValueError):
        return None


def _annotation(config: DictConfig, key: str) -> str | None:
    """How the parameter that a value goes to is annotated, as text: ``""`` for not at all, and None
    for a value that is no argument."""
    above, _, name = key.rpartition(".")
    node = _select(config, above) if above else None
    target = node.get("_target_") if isinstance(node, DictConfig) else None
    if target is None:
        return None
    try:
        found = locate(target) if isinstance(target, str) else target
        parameter = inspect.signature(found).parameters.get(name)
    except Exception:  # what a config names may not be there, or have no signature
        return ""
    if parameter is None or parameter.annotation is inspect.Parameter.empty:
        return ""
    kind = parameter.annotation
    text = kind.__name__ if isinstance(kind, type) else str(kind).replace("typing.", "")
    return f"{text} | None" if parameter.default is None else text


def _takes_list(annotation: str | None) -> bool:
    if annotation is None:
        return False
    return not annotation or bool(re.search("list|tuple|sequence|iterable|any", annotation, re.I))


def _length(annotation: str | None) -> int | None:
    """How many values a tuple has by its annotation, None if it does not say. (Of one there are
    none: Detectron2 writes ``Tuple[float]`` for any number.)"""
    match = re.fullmatch(r"tuple\[([^\[\]]*,[^\[\]]*)\]", annotation or "", re.I)
    return None if match is None or "..." in match[1] else match[1].count(",") + 1


def _like(before: Any, value: Any) -> bool:
    """Whether a plain value is of the kind of another; a list by the first of its items."""
    if before is None or isinstance(before, str) and "${" in before:
        return True
    if isinstance(before, list):
        return isinstance(value, list) and (not before or all(_like(before[0], x) for x in value))
    if isinstance(before, bool) or isinstance(value, bool):
        return isinstance(before, bool) and isinstance(value, bool)
    if isinstance(before, int | float):
        return isinstance(value, int | float)
    return isinstance(value, type(before)) if isinstance(before, dict | str) else True


def _is_found(name: Any) -> bool:
    try:
        return isinstance(name, str) and callable(locate(name))
    except Exception:  # whatever its module raises
        return False


def _kind_of(before: Any) -> str:
    if isinstance(before, bool):
        return "true or false"
    if isinstance(before, int | float):
        return f"a number, such as {before}"
    if isinstance(before, ListConfig):
        return f"a list, such as {_shown(before)}"
    if isinstance(before, DictConfig):
        return f"changes to its keys ({', '.join(map(str, before))}), one by one"
    return "a text"


def _shown(before: ListConfig) -> str:
    plain = OmegaConf.to_container(before, resolve=False)
    if any(isinstance(value, dict) for value in plain):
        return "[...]"
    return str(plain).replace("'", "").replace(" ", "")
