"""An experiment of the zoo with all that it says, and all that its classes say where it is silent.

A number that nobody wrote into a config is in force all the same: the default of an argument. So
interpolations are followed, and every call gets the arguments that it leaves out.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator
from typing import Any

from detectron2.utils.registry import locate
from omegaconf import DictConfig, OmegaConf

_TARGET = "_target_"


class Resolved:
    """Reads an experiment by paths such as ``model.proposal_generator.nms_thresh``, and remembers
    what was read.

    Args:
        config: of the zoo.
    """

    def __init__(self, config: DictConfig):
        self._tree = _with_defaults(OmegaConf.to_container(config, resolve=True))
        self._read: set[str] = set()

    def has(self, path: str) -> bool:
        """Whether there is something other than None at the path."""
        try:
            there = self._at(path) is not None
        except (KeyError, IndexError, TypeError):
            return False
        if not there:
            self._read.add(path)
        return there

    def count(self, path: str) -> int:
        """Number of entries of a list."""
        return len(self._at(path))

    def kind(self, path: str) -> str:
        """Name of the class or function that the node at the path calls."""
        return _callable_of(self._at(path)).__qualname__

    def is_node(self, path: str) -> bool:
        """Whether there are values below the path rather than one at it."""
        return isinstance(self._at(path), dict)

    def __call__(self, path: str) -> Any:
        """The value at the path: a number, a string, None, or a tuple of such."""
        value = self._at(path)
        assert not self.is_node(path), f"{path} is no value, but has {sorted(value)}"
        self._read.update(leaf for leaf, _ in _leaves(value, path))
        return _frozen(value)

    def unread(self) -> dict[str, Any]:
        """All values that nobody asked for, by path."""
        leaves = _leaves(self._tree)
        return {leaf: _frozen(value) for leaf, value in leaves if leaf not in self._read}

    def read(self) -> dict[str, Any]:
        """All values that somebody asked for, by path."""
        return {leaf: _frozen(value) for leaf, value in _leaves(self._tree) if leaf in self._read}

    def changed(self, path: str, value: Any) -> Resolved:
        """The same with another value at the path, and nothing read yet."""
        other = copy.copy(self)
        other._tree, other._read = copy.deepcopy(self._tree), set()
        parent, _, key = path.rpartition(".")
        node = other._at(parent)
        node[int(key) if isinstance(node, list) else key] = value
        return other

    def _at(self, path: str) -> Any:
        node = self._tree
        for key in path.split("."):
            node = node[int(key) if isinstance(node, (list, tuple)) else key]
        return node


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, (list, tuple)) else value


def _leaves(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Values with their paths; a list of plain values is one, the name of a class is none."""
    if isinstance(node, dict):
        children = [(key, child) for key, child in node.items() if key != _TARGET]
    elif isinstance(node, (list, tuple)) and any(isinstance(x, (dict, list)) for x in node):
        children = [(str(index), child) for index, child in enumerate(node)]
    else:
        yield path, node
        return
    for key, child in children:
        yield from _leaves(child, f"{path}.{key}" if path else key)


def _with_defaults(node: Any) -> Any:
    if isinstance(node, (list, tuple)):
        return [_with_defaults(child) for child in node]
    if not isinstance(node, dict):
        return node
    filled = {key: _with_defaults(child) for key, child in node.items()}
    if _TARGET in node:
        filled = _defaults(_callable_of(node)) | filled
    return filled


def _callable_of(node: dict) -> Callable:
    target = node[_TARGET]
    return locate(target) if isinstance(target, str) else target


def _defaults(function: Callable) -> dict[str, Any]:
    """Of the arguments of a function or a class; those that a class hands on to its bases too."""
    classes = function.__mro__ if inspect.isclass(function) else None
    initializers = [c.__init__ for c in classes if "__init__" in vars(c)] if classes else [function]
    found: dict[str, Any] = {}
    for initializer in initializers:
        if initializer is object.__init__:
            break
        parameters = inspect.signature(initializer).parameters.values()
        for parameter in parameters:
            if parameter.default is not parameter.empty:
                found.setdefault(parameter.name, parameter.default)
        if all(parameter.kind is not parameter.VAR_KEYWORD for parameter in parameters):
            break
    return found
