"""Configs in YAML: read without running anything, and written under names that stay.

``LazyConfig.load`` of Detectron2 builds whatever Python object a YAML file asks for. Here a file
may hold what ``LazyConfig.save`` writes of a config of the zoo: plain values, tuples and the names
of known classes and functions.
"""

from __future__ import annotations

import logging
import os
import tempfile
from functools import partial
from pathlib import Path
from typing import IO, Any

import yaml
from detectron2.config import LazyConfig
from omegaconf import DictConfig, OmegaConf, SCMode
from omegaconf.errors import OmegaConfBaseException

from ..files.atomic import write_atomically
from ..files.untrusted import shown
from .names import (
    NAMES,
    OLD_NAMES,
    find_name,
    public_name,
    refusal,
    renamed,
    require_known_names,
)
from .old_arguments import with_todays_arguments

# A run's config.yaml has some 15 kB, and 13,000 categories by name add 0.6 MB.
_MOST_BYTES = 2 * 2**20
_MOST_VALUES = 100_000  # with those that aliases repeat; and of what the text itself says
_MOST_DEPTH = 100
_TOO_MANY = "has more values than any config: give another file."
_TOO_DEEP = "is nested more deeply than any config: give another file."

# A flag of OmegaConf's: what is changed in such a config must be known too.
_FOREIGN = "foreign"

_NAME_TAG = "tag:yaml.org,2002:python/name:"


def read_yaml(file: str, *, trusted: bool = False) -> DictConfig:
    """Read a config.

    Args:
        file: its path.
        trusted: run what it asks for, as Detectron2 does, whatever it names.

    Raises:
        ValueError: if it is no YAML of a config, is larger than any config, or names what is not
            known; says where.
        OSError: if it cannot be read.
    """
    with open(file, "rb") as stream:
        data = stream.read(_MOST_BYTES + 1)
    if len(data) > _MOST_BYTES:
        raise ValueError(f"{file} is larger than any config: give another file.")
    try:
        _require_short(data)
        content = yaml.load(data, _TrustingLoader if trusted else _Loader)
        _require_bounded(content)
    except _Refused as error:
        raise ValueError(f"{file} {error}") from error
    except (yaml.YAMLError, ValueError, TypeError, AttributeError, LookupError) as error:
        raise ValueError(f"{file} is no YAML that can be read ({_first_words(error)}).") from error
    except RecursionError as error:
        raise ValueError(f"{file} is nested more deeply than any config.") from error
    if not isinstance(content, dict):
        raise ValueError(f"{file} is no config: a config in YAML has keys, such as `model:`.")
    content = with_todays_arguments(renamed(content))
    if not trusted:
        require_known_names(content, file)
    try:
        return OmegaConf.create(content, flags={"allow_objects": True, _FOREIGN: not trusted})
    except OmegaConfBaseException as error:
        raise ValueError(f"{file} is no config ({str(error).partition(chr(10))[0]}).") from error


def require_known_value(config: DictConfig, key: str, value: Any) -> None:
    """Check a value that a config is about to get, if the config is in YAML and not trusted.

    Raises:
        ValueError: as :func:`~.names.require_known_names`.
    """
    if config._get_flag(_FOREIGN):
        require_known_names(value, "The config with its overrides", key)


def require_known_config(config: DictConfig) -> None:
    """Check what a config names once it is changed, if it is in YAML and not trusted.

    Raises:
        ValueError: as :func:`~.names.require_known_names`.
    """
    if config._get_flag(_FOREIGN):
        content = OmegaConf.to_container(config, resolve=False)
        require_known_names(content, "The config with its overrides")


def save_config(config: DictConfig, file: str | os.PathLike[str]) -> None:
    """Write a config as ``LazyConfig.save`` does, for that or :func:`.files.get_config` to load.

    Classes and functions are recorded by their public names, so that the file goes on loading when
    their code moves. What has none, such as a lambda, is left to Detectron2, which says so.

    Raises:
        OSError: if the file cannot be written.
    """
    plain = OmegaConf.to_container(config, resolve=False, structured_config_mode=SCMode.INSTANTIATE)
    try:
        text = yaml.dump(
            _targets_as_text(plain),
            Dumper=_Dumper,
            default_flow_style=None,
            allow_unicode=True,
            width=9999,
        )
    except (ValueError, TypeError, AttributeError, yaml.YAMLError):
        _save_as_detectron2(config, Path(file))
        return
    write_atomically(file, lambda out: out.write(text.encode()))


def _save_as_detectron2(config: DictConfig, file: Path) -> None:
    """Write what ``LazyConfig.save`` makes of a config, which may be two files."""
    log = logging.getLogger(LazyConfig.__module__)
    with tempfile.TemporaryDirectory() as folder:

        def name_target(record: logging.LogRecord) -> bool:
            record.msg, record.args = record.getMessage().replace(folder, str(file.parent)), ()
            return True

        log.addFilter(name_target)
        try:
            LazyConfig.save(config, str(Path(folder, file.name)))
        finally:
            log.removeFilter(name_target)
        for written in Path(folder).iterdir():
            content = written.read_bytes()
            write_atomically(file.with_name(written.name), partial(_write, content))


def _write(content: bytes, out: IO[bytes]) -> None:
    out.write(content)


class _Refused(Exception):
    """What a file asks for and does not get; the message follows the file's name."""


# In C, as PyYAML has them as a rule, ten times as fast: a long text is no reason to wait.
_FAST = yaml.__with_libyaml__
_Safe: Any = yaml.CSafeLoader if _FAST else yaml.SafeLoader
_Unsafe: Any = yaml.CUnsafeLoader if _FAST else yaml.UnsafeLoader
_Opening = (yaml.SequenceStartEvent, yaml.MappingStartEvent)
_Closing = (yaml.SequenceEndEvent, yaml.MappingEndEvent)


class _Loader(_Safe):
    """Plain values, tuples, and classes and functions by their names."""

    def construct_known(self, name: str, node: yaml.Node) -> Any:
        name = OLD_NAMES.get(name, name)
        if name not in NAMES:
            raise _unknown(f"has the name '{shown(name)}'", node)
        return find_name(name)

    def construct_other(self, suffix: str, node: yaml.Node) -> Any:
        raise _unknown(f"has the Python object '{shown(suffix)}'", node)

    def construct_values(self, node: yaml.Node) -> tuple[Any, ...]:
        return tuple(self.construct_sequence(node, deep=True))

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        # No config that was saved has `<<`, which can make gigabytes of a few lines.
        if any(key.tag == "tag:yaml.org,2002:merge" for key, _ in node.value):
            raise _Refused(
                f"merges mappings by '<<' in line {node.start_mark.line + 1}: write them out."
            )


_Loader.add_constructor("tag:yaml.org,2002:python/tuple", _Loader.construct_values)
_Loader.add_multi_constructor(_NAME_TAG, _Loader.construct_known)
_Loader.add_multi_constructor("tag:yaml.org,2002:python/", _Loader.construct_other)


class _TrustingLoader(_Unsafe):
    """Whatever the file asks for, under the names that things have today."""

    def find_python_name(self, name: str, mark: Any) -> Any:
        return super().find_python_name(OLD_NAMES.get(name, name), mark)


class _Dumper(yaml.Dumper):
    """Classes and functions by their public names."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def represent_public_name(self, value: Any) -> yaml.Node:
        return self.represent_scalar(f"{_NAME_TAG}{public_name(value)}", "")


for _kind in (type, type(public_name), type(len)):
    _Dumper.add_representer(_kind, _Dumper.represent_public_name)
_Dumper.add_multi_representer(type, _Dumper.represent_public_name)  # classes with a metaclass


def _unknown(what: str, node: yaml.Node) -> _Refused:
    return _Refused(refusal(f"{what} in line {node.start_mark.line + 1}"))


def _targets_as_text(node: Any) -> Any:
    if isinstance(node, dict):
        return {
            key: public_name(value)
            if key == "_target_" and callable(value)
            else _targets_as_text(value)
            for key, value in node.items()
        }
    return [_targets_as_text(value) for value in node] if isinstance(node, list) else node


def _require_short(data: bytes) -> None:
    """Count what a text says, before anything is made of it; what is deep would end the process."""
    depth = 0
    for number, event in enumerate(yaml.parse(data, Loader=_Safe)):
        depth += isinstance(event, _Opening) - isinstance(event, _Closing)
        if number > _MOST_VALUES:
            raise _Refused(_TOO_MANY)
        if depth > _MOST_DEPTH:
            raise _Refused(_TOO_DEEP)


def _require_bounded(content: Any) -> None:
    """Count the values of a file, of which aliases may have made very many."""
    sizes: dict[int, int] = {}

    def count(node: Any, depth: int) -> int:
        if depth > _MOST_DEPTH:
            raise _Refused(_TOO_DEEP)
        if not isinstance(node, dict | list | tuple | set):
            return 1
        if id(node) not in sizes:
            inner = node.values() if isinstance(node, dict) else node
            sizes[id(node)] = 1 + sum(count(value, depth + 1) for value in inner)
        return sizes[id(node)]

    if count(content, 0) > _MOST_VALUES:
        raise _Refused(_TOO_MANY)


def _first_words(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error).partition("\n")[0]
    problem = shown(problem, 120)
    return f"line {mark.line + 1}: {problem}" if mark is not None else problem
