"""What a checkpoint says of the classes that its weights are for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from detectron2.utils.file_io import PathManager

from ..files.untrusted import open_archive

KEY = "categories"  # of a checkpoint: {"names": [...], "ids": [...]}


def categories_in(content: Mapping[str, Any]) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Names and ids of the classes 0, 1, ... that a loaded checkpoint states; empty if it has none,
    as those of other programs."""
    stated = content.get(KEY)
    if not isinstance(stated, Mapping):
        return (), ()
    names, ids = stated.get("names"), stated.get("ids")
    if not isinstance(names, list) or not isinstance(ids, list) or len(names) != len(ids):
        return (), ()
    if not all(type(name) is str for name in names) or not all(type(i) is int for i in ids):
        return (), ()
    return tuple(names), tuple(ids)


def categories_of_file(path: str) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """As :func:`categories_in`, of a file or address whose weights are left on the disk.

    A file that cannot be read has none: who loads it says why.
    """
    bare = path.partition("?")[0]
    if not bare.endswith(".pth"):  # as ours do
        return (), ()
    try:
        local = PathManager.get_local_path(bare)
        open_archive(local).close()  # which refuses what would take more memory than the file
        content = torch.load(local, map_location="cpu", weights_only=True, mmap=True)
    except Exception:  # each kind of address has its own, and a damaged file any
        return (), ()
    return categories_in(content) if isinstance(content, Mapping) else ((), ())
