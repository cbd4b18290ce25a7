"""Names of configs -> files -> loaded LazyConfigs.

A name is a path relative to the folder ``configs``, with or without ``.py``; wherever a name is
accepted, so is the path of any LazyConfig file, and a name of Detectron2's own zoo. The folder lies
beside the package in a checkout, and inside ``model_zoo`` in an installed package, where
``setup.py`` has put a copy of it.

A config in Python is a program: loading it runs it. One in YAML, such as the ``config.yaml`` of a
run, is data, which may name what the zoo's configs name and nothing else unless it is trusted.
"""

from __future__ import annotations

import builtins
import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

import detectron2
from detectron2.config import LazyConfig
from omegaconf import DictConfig

from ..files import shipped_dir
from .suggest import alternatives, nearest, nearest_names
from .yaml_file import read_yaml, save_config

__all__ = [
    "config_name",
    "configs_dir",
    "detectron2_configs_dir",
    "get_config",
    "get_config_file",
    "list_configs",
    "save_config",
    "trusting_configs",
]

_SUFFIXES = (".py", ".yaml", ".yml")
# Files that experiments are put together from; no experiments themselves.
_PARTS_DIR = "common"

_trusts: ContextVar[bool] = ContextVar("trusts_configs", default=False)


def configs_dir() -> Path:
    """The folder that config names are relative to.

    Raises:
        FileNotFoundError: if neither a checkout nor the installed package has one.
    """
    return shipped_dir("configs", "model_zoo/configs")


def detectron2_configs_dir() -> Path:
    """The folder of Detectron2's own configs, which may not exist.

    ``detectron2.model_zoo`` finds it too, but needs ``pkg_resources``, which setuptools >= 82 does
    not have any more.
    """
    return Path(detectron2.__file__).resolve().parent / "model_zoo" / "configs"


def list_configs() -> list[str]:
    """Names of all experiments, sorted, such as ``"cascade_rpn/cascade_rpn_r50_fpn_1x.py"``."""
    root = configs_dir()
    names = (path.relative_to(root) for path in root.rglob("*.py"))
    return sorted(n.as_posix() for n in names if n.parts[0] != _PARTS_DIR and n.stem != "__init__")


def get_config_file(name: str | os.PathLike[str]) -> str:
    """Path of a config.

    Args:
        name: a name as in :func:`list_configs`, ``.py`` being optional; the name of a config of
            Detectron2's own zoo; or the path of a file.

    Raises:
        ValueError: if there is neither such a file nor such a config; suggests the nearest names.
    """
    text = os.fspath(name)
    if text.endswith(_SUFFIXES) and os.path.isfile(text):
        return os.path.abspath(text)
    wanted = text if text.endswith(_SUFFIXES) else f"{text}.py"
    for folder in (configs_dir(), detectron2_configs_dir()):
        file = folder / wanted
        # A name never leads out of the folder, whatever dots are in it.
        if file.is_file() and file.resolve().is_relative_to(folder.resolve()):
            return str(file)
    raise ValueError(_advice(text))


def config_name(name: str | os.PathLike[str]) -> str | None:
    """The name in the zoo of a config given by name or by path; None for a file outside the zoo.

    Raises:
        ValueError: as :func:`get_config_file`.
    """
    file = Path(get_config_file(name)).resolve()
    root = configs_dir().resolve()
    return file.relative_to(root).as_posix() if file.is_relative_to(root) else None


@contextmanager
def trusting_configs(trust: bool = True) -> Iterator[None]:
    """Trust all configs that are loaded inside, as ``--trust-config`` of a command does."""
    token = _trusts.set(trust)
    try:
        yield
    finally:
        _trusts.reset(token)


def get_config(name: str | os.PathLike[str], *, trust_config: bool = False) -> DictConfig:
    """Load a config; each call gives a new one that may be changed.

    Args:
        name: as for :func:`get_config_file`.
        trust_config: let a config in YAML name any class or function, and so run any code; see
            also :func:`trusting_configs`.

    Raises:
        ValueError: if there is no such config, or if one in YAML cannot be read, or is not trusted
            and names what no config of the zoo does, see :mod:`.names`.
    """
    file = get_config_file(name)
    if not file.endswith(".py"):
        return read_yaml(file, trusted=trust_config or _trusts.get())
    original_import = builtins.__import__
    try:
        return LazyConfig.load(file)
    finally:
        # Detectron2 replaces the import statement while it loads a config, and puts it back only if
        # the config raises nothing.
        builtins.__import__ = original_import


def _advice(text: str) -> str:
    """What is wrong with a name that is none, and what may have been meant."""
    path = Path(text)
    if path.is_dir() or (configs_dir() / text).is_dir() and text:
        return _advice_for_folder(text)
    if path.exists():
        return f"'{text}' is no config: give a file that ends in .py or .yaml."
    # Beside a misspelt file is the one that was meant.
    beside = [str(path.parent / n) for n in _config_files(path.parent)] if path.parent.name else []
    names = list_configs()
    near = nearest(text, beside) or nearest_names(text, names)
    if near:
        return (
            f"No config file or config of the zoo is named '{text}': did you mean "
            f"{alternatives(near)}?"
        )
    return (
        f"No config file or config of the zoo is named '{text}': give the path of one, or one of "
        f"the {len(names)} names in model_zoo.list_configs(), such as 'demo/cascade_rpn.py'."
    )


def _advice_for_folder(text: str) -> str:
    for folder in (Path(text), configs_dir() / text):
        files = _config_files(folder)
        if files:
            some = [str(Path(text) / name) for name in nearest("config.yaml", files) or files[:3]]
            return f"'{text}' is a folder: give a config in it, such as {alternatives(some)}."
    return f"'{text}' is a folder without a config: give a file that ends in .py or .yaml."


def _config_files(folder: Path) -> list[str]:
    """Names of the configs right in a folder, sorted; none if it cannot be looked into."""
    try:
        return sorted(file.name for file in folder.iterdir() if file.name.endswith(_SUFFIXES))
    except OSError:
        return []
