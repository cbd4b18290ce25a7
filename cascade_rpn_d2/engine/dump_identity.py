"""What an unfinished dump of proposals is of, so that no other run goes on with it."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from detectron2.utils.registry import _convert_target_to_string, locate
from omegaconf import DictConfig, OmegaConf

from ..files.atomic import write_atomically
from ..files.digest import sha256_of
from ..files.download import local_path

Identity = dict[str, Any]

_FILE = "identity.json"
_NAMES = {
    "weights_sha256": "weights",
    "config_sha256": "config (model or test mapper)",
    "images_sha256": "data",
    "topk": "top-k",
    "chunk_size": "number of images in a part",
}


def run_identity(
    config: DictConfig, weights: str, records: Sequence[dict], topk: int | None, chunk_size: int
) -> Identity:
    """All that decides what is in the parts of a dump.

    Args:
        config: a LazyConfig; its model and test mapper count.
        weights: file or address of the checkpoint.
        records: dataset dicts; their ids, files and sizes in order count.
        topk: of :func:`~.proposal_dump.dump_proposals`.
        chunk_size: likewise.

    Raises:
        OSError: if the weights cannot be read.
    """
    feeding = [OmegaConf.to_container(config.model, resolve=True), _mapper(config)]
    images = [
        [r["image_id"], os.path.abspath(r.get("file_name", "")), r.get("width"), r.get("height")]
        for r in records
    ]
    return {
        "weights_sha256": weights_sha256(weights),
        "config_sha256": digest([plain(part) for part in feeding]),
        "images_sha256": digest(images),
        "topk": topk,
        "chunk_size": chunk_size,
    }


def _mapper(config: DictConfig) -> Any:
    """The test mapper, without what changes no proposal."""
    mapper = OmegaConf.to_container(config.dataloader.test.mapper, resolve=True)
    if isinstance(mapper, dict):
        mapper.pop("max_pixels", None)
        if mapper.get("depth_range") is None:
            mapper.pop("depth_range", None)
    return mapper


def weights_sha256(weights: str) -> str:
    """Hexadecimal SHA-256 of a checkpoint, given as file or address.

    Raises:
        OSError: if it cannot be read.
    """
    try:
        return sha256_of(local_path(weights.partition("?")[0]))
    except Exception as error:  # each kind of address has its own
        raise OSError(
            f"The weights {weights} cannot be read ({error}): give a file that is there."
        ) from error


def require_identity(folder: Path, identity: Identity) -> None:
    """Write what the parts in a folder are of, or if there are parts compare with what was written.

    Raises:
        ValueError: if they are of something else; says what differs, and names the folder.
        OSError: if the folder cannot be read or written.
    """
    path = folder / _FILE
    if not any(folder.glob("*.npz")):
        content = json.dumps(identity, indent=2).encode()
        write_atomically(path, lambda file: file.write(content))
        return
    try:
        found = json.loads(path.read_text())
        differing = [name for key, name in _NAMES.items() if found[key] != identity[key]]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        differing = ["program"]
    if differing:
        raise ValueError(
            f"The unfinished parts in {folder} are of another {' and '.join(differing)}: go on "
            "with what they were begun with, or remove the folder to start again."
        )


def digest(value: Any) -> str:
    """Hexadecimal SHA-256 of what json can hold."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def plain(value: Any) -> Any:
    """A value of a LazyConfig as what json can hold, alike in every process.

    Classes and functions become their names, whether they are given as such or, as in the
    ``config.yaml`` of a run, by a name.

    Raises:
        ValueError: for an object of which it cannot be told whether two are the same.
    """
    if isinstance(value, dict):
        return {str(k): _target(v) if k == "_target_" else plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, functools.partial):
        return [_target(value.func), plain(value.args), plain(value.keywords)]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [_target(type(value)), plain(dataclasses.asdict(value))]
    if hasattr(value, "__qualname__"):
        return _target(value)
    if isinstance(value, np.ndarray | np.generic | torch.Tensor):
        return [_target(type(value)), str(value.dtype), value.tolist()]
    if hasattr(value, "__dict__"):
        return [_target(type(value)), plain(vars(value))]
    if type(value).__repr__ is object.__repr__:
        raise ValueError(
            f"The config has an object of {type(value).__name__}, of which nothing tells what it "
            "is: write it as a LazyCall."
        )
    return [_target(type(value)), repr(value)]


def _target(value: Any) -> str:
    if isinstance(value, str):
        value = locate(value)
    return _convert_target_to_string(value)
