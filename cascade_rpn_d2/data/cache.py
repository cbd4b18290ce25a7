"""The cache folder of this package, and how to write into it all at once or not at all."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

ENVIRONMENT = "CASCADE_RPN_D2_CACHE"


def cache_dir() -> Path:
    """``$CASCADE_RPN_D2_CACHE``, or ``~/.cache/cascade_rpn_d2``; it may not exist yet."""
    return Path(os.environ.get(ENVIRONMENT) or "~/.cache/cascade_rpn_d2").expanduser().absolute()


@contextlib.contextmanager
def publish(target: Path) -> Iterator[Path]:
    """Make a folder appear complete or not at all, however many processes make it at once.

    Args:
        target: the folder to make. It must be a function of its name alone: of several processes
            that make it at the same time the first one wins, and the others' equal work is thrown
            away.

    Yields:
        A new empty folder beside ``target`` to write into; it becomes ``target`` on leaving the
        block without an exception.

    Raises:
        OSError: when the folder cannot be written; names the environment variable to set.
    """
    staging = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        yield staging
        staging.chmod(0o755)  # mkdtemp's is private, but a cache may be shared
        try:
            staging.rename(target)
        except OSError:
            if not target.is_dir():  # else another process was first
                raise
    except OSError as error:
        raise OSError(
            f"cannot write {target} ({error.strerror or error}): free some space there, or set "
            f"{ENVIRONMENT} to a folder that can be written."
        ) from error
    finally:
        if staging is not None:
            shutil.rmtree(staging, ignore_errors=True)
