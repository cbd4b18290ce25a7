"""Files that are there whole or not at all, however the process that writes them ends."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import IO

_TEMPORARY_SUFFIX = ".tmp"


def write_atomically(path: str | os.PathLike[str], write: Callable[[IO[bytes]], object]) -> None:
    """Write a file beside its place and move it there once it is complete on the disk.

    Args:
        path: where the file is to be; a file already there stays as it is until the new one is
            complete. The folder must exist.
        write: writes the contents to the open binary file it is given.

    Raises:
        OSError: if the file cannot be written, as when no space is left; says that the file that
            was there before is intact. What was written is removed.
    """
    target = Path(path)
    # A name of its own, for another process may be writing the same file.
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex[:12]}{_TEMPORARY_SUFFIX}")
    try:
        with open(temporary, "xb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        cause = _os_error(error)
        if cause is None:
            raise
        failure = OSError(
            f"Could not write {target} ({cause.strerror or cause}): files written before it are "
            "intact, so make room or make the folder writable, and start again."
        )
        failure.errno = cause.errno
        raise failure from error


def remove_leftovers(folder: str | os.PathLike[str], names: str = "*") -> None:
    """Remove what a killed process left of files it was writing to a folder.

    Args:
        folder: that no other process writes such files to.
        names: pattern of the files.
    """
    for leftover in Path(folder).glob(f".{names}{_TEMPORARY_SUFFIX}"):
        leftover.unlink(missing_ok=True)


def _os_error(error: BaseException | None) -> OSError | None:
    # torch.save closes its archive while the error of the disk passes through, and then raises one
    # of its own with the first as its context.
    while error is not None and not isinstance(error, OSError):
        error = error.__cause__ or error.__context__
    return error
