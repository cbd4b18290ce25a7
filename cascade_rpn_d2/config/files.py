"""Names of configs -> files -> loaded LazyConfigs.

A name is a path relative to the folder ``configs``, with or without ``.py``; wherever a name is
accepted, so is the path of any LazyConfig file, and a name of Detectron2's own zoo. The folder lies
beside the package in a checkout, and inside ``model_zoo`` in an installed package, where
``setup.py`` has put a copy of it.
"""

from __future__ import annotations

import builtins
import os
from pathlib import Path

import detectron2
from detectron2.config import LazyConfig
from omegaconf import DictConfig

from ..files import shipped_dir
from .suggest import alternatives, nearest

_SUFFIXES = (".py", ".yaml", ".yml")
# Files that experiments are put together from; no experiments themselves.
_PARTS_DIR = "common"


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
    raise ValueError(f"No config file or config of the zoo is named '{text}': {_advice(wanted)}")


def config_name(name: str | os.PathLike[str]) -> str | None:
    """The name in the zoo of a config given by name or by path; None for a file outside the zoo.

    Raises:
        ValueError: as :func:`get_config_file`.
    """
    file = Path(get_config_file(name)).resolve()
    root = configs_dir().resolve()
    return file.relative_to(root).as_posix() if file.is_relative_to(root) else None


def get_config(name: str | os.PathLike[str]) -> DictConfig:
    """Load a config; each call gives a new one that may be changed.

    Args:
        name: as for :func:`get_config_file`.

    Raises:
        ValueError: if there is no such config.
    """
    file = get_config_file(name)
    original_import = builtins.__import__
    try:
        return LazyConfig.load(file)
    finally:
        # Detectron2 replaces the import statement while it loads a config, and puts it back only if
        # the config raises nothing.
        builtins.__import__ = original_import


def _advice(wanted: str) -> str:
    names = list_configs()
    near = nearest(wanted, names)
    # People remember the file's name and forget the folder.
    near += [n for n in names if Path(n).name == Path(wanted).name and n not in near]
    if near:
        return f"did you mean {alternatives(near)}?"
    return f"the zoo has {alternatives(names)}." if names else "the zoo has no configs."
