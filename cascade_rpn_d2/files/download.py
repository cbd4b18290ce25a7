"""Files that an address names: downloaded once, or one sentence of why not."""

from __future__ import annotations

import contextlib
import functools
import logging
from collections.abc import Iterator

import tqdm
from detectron2.utils.file_io import PathManager

from .untrusted import shown


def local_path(address: str) -> str:
    """The path of a file on this machine, which is downloaded into iopath's cache if need be.

    Args:
        address: ``https://``, ``detectron2://``, or any other that Detectron2 knows; a path is
            returned as it is, whether there is a file or not.

    Raises:
        OSError: if it cannot be downloaded; one sentence that says what to do.
    """
    try:
        with _quiet_failure():
            return PathManager.get_local_path(address)
    except Exception as error:  # each kind of address has its own
        raise OSError(
            f"Cannot get {shown(address, 1000)} ({shown(error) or type(error).__name__}): check "
            "the address and the connection, or download it and give the file."
        ) from error


@contextlib.contextmanager
def _quiet_failure() -> Iterator[None]:
    """Keep iopath from logging what is raised too, and from an empty progress bar before it."""

    def is_no_error(record: logging.LogRecord) -> bool:
        return record.levelno < logging.WARNING

    log, bar = logging.getLogger("iopath.common.download"), tqdm.tqdm
    log.addFilter(is_no_error)
    tqdm.tqdm = functools.partial(bar, delay=1.0)  # drawn by the first block after a second
    try:
        yield
    finally:
        tqdm.tqdm = bar
        log.removeFilter(is_no_error)
