"""Predictions in the form of COCO's results: a JSON list with a record for each box."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from typing import IO, Any

import numpy as np

from ..files.atomic import write_atomically


def results_path(folder: str | None, stem: str, suffix: str) -> str | None:
    """The file of results in a folder, or None without a folder.

    Raises:
        ValueError: if the suffix to its name would lead to another folder.
    """
    if "/" in suffix or os.sep in suffix:
        raise ValueError(f"suffix is {suffix!r}: it must have no '/', as it is part of a name.")
    return os.path.join(folder, f"{stem}{suffix}.json") if folder else None


def write_coco_results(path: str | os.PathLike[str], records: Iterable[Mapping[str, Any]]) -> int:
    """Write records, a line each: people can read it, and it may be long.

    Args:
        path: the file; it is replaced, and its folder must exist.
        records: with ``image_id``, ``category_id``, ``bbox`` (x, y, width, height in pixels) and
            ``score``.

    Returns:
        How many records there are.

    Raises:
        OSError: if the file cannot be written.
    """
    count = 0

    def write(file: IO[bytes]) -> None:
        nonlocal count
        file.write(b"[")
        for count, record in enumerate(records, start=1):
            text = json.dumps(record)
            file.write(f"{',' if count > 1 else ''}\n{text}".encode())
        file.write(b"\n]\n")

    write_atomically(path, write)
    return count


def shortest(values: Any) -> list[float]:
    """The shortest decimal numbers that are these float32 numbers: 0.1, not 0.10000000149011612."""
    return [float(str(value)) for value in np.asarray(values, np.float32)]
