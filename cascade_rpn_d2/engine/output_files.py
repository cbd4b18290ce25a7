"""Find out before the work rather than after it that a file cannot be written, and write it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2

from ..files.atomic import write_atomically
from ..files.folders import make_writable


def prepare_file(path: str | os.PathLike[str], example: str) -> Path:
    """Make the folder of a file that is to be written.

    Args:
        path: of the file.
        example: a file name, for the message.

    Raises:
        OSError: if it is a folder, or its folder cannot be made or written to.
    """
    file = Path(path)
    if file.is_dir():
        raise OSError(f"Cannot write {file}: it is a folder, give a file name such as {example}.")
    make_writable(file.parent, f"the folder of {file}", "give another path.")
    return file


def prepare_picture(path: str | os.PathLike[str]) -> Path:
    """As :func:`prepare_file`, for a picture.

    Raises:
        ValueError: if there is no format for its suffix.
        OSError: as :func:`prepare_file`.
    """
    file = prepare_file(path, "picture.png")
    if not file.suffix or not cv2.haveImageWriter(str(file)):
        raise ValueError(f"Cannot write '{file}': name it *.png or *.jpg.")
    return file


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write numbers and words as json that people can read.

    Raises:
        OSError: if the file cannot be written.
    """
    text = json.dumps(content, indent=2) + "\n"
    write_atomically(path, lambda file: file.write(text.encode()))
