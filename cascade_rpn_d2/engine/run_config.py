"""The folder that the config of a run lies in: it may have been moved or copied since."""

from __future__ import annotations

import logging
import os
from pathlib import Path

logger = logging.getLogger(__name__)

_FINAL = "model_final.pth"


def folder_of_config(config_file: str | os.PathLike[str]) -> Path | None:
    """The folder of a config in YAML; None for one in Python, or of the zoo by its name."""
    path = Path(config_file)
    is_yaml = path.suffix in (".yaml", ".yml")
    return path.absolute().parent if is_yaml and path.is_file() else None


def weights_beside(config_file: str | os.PathLike[str]) -> str | None:
    """The weights of the run that a config in YAML is of: ``model_final.pth`` beside it.

    Returns:
        Their file; None for a config that :func:`folder_of_config` knows no folder of.

    Raises:
        ValueError: if they are not there; names the checkpoints that are.
    """
    folder = folder_of_config(config_file)
    if folder is None:
        return None
    if (folder / _FINAL).is_file():
        logger.info("The weights are %s, beside the config.", folder / _FINAL)
        return str(folder / _FINAL)
    found = sorted(file.name for file in folder.glob("model_*.pth"))
    beside = f", such as {folder / found[-1]} (of {len(found)} checkpoints there)" if found else ""
    raise ValueError(f"There is no {_FINAL} beside {config_file}: give --weights <file>{beside}.")
