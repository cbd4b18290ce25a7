"""Folders to write to: made, and tried before the work rather than after it."""

from __future__ import annotations

import tempfile
from pathlib import Path


def make_writable(folder: Path, what: str, advice: str) -> None:
    """Make a folder if it is not there, and see whether a file can be written to it.

    It is tried, for what the permissions say does not hold on every file system, nor for root.

    Args:
        folder: nothing is left in it.
        what: the folder is called in the message, such as ``"the output folder runs"``.
        advice: what to do, such as ``"give another --output-dir."``.

    Raises:
        OSError: if it cannot be made or written to; one sentence.
    """
    doing = "make"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        doing = "write to"
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OSError(f"Cannot {doing} {what} ({error.strerror}): {advice}") from error
