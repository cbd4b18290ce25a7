"""A lock on a folder, held by one process at a time and gone with it, however it ends."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path

logger = logging.getLogger(__name__)

_FILE = ".cascade_rpn_d2.lock"
# What file systems answer that have no locks, such as Lustre mounted without them.
_UNSUPPORTED = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL}
_HELD_ELSEWHERE = {errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES}


class FolderInUse(OSError):
    """Another process holds the lock of a folder.

    Args:
        folder: the folder.
        holder: who holds it, such as ``"process 71"``.
    """

    def __init__(self, folder: Path, holder: str) -> None:
        super().__init__(
            f"The folder {folder} is in use by {holder}: wait for its end, or give another folder."
        )
        self.folder, self.holder = folder, holder

    def __reduce__(self) -> tuple[type[FolderInUse], tuple[Path, str]]:
        """Processes hand it to each other."""
        return FolderInUse, (self.folder, self.holder)


class _Held:
    """The folders that this process holds: how often, and the open file of each."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.files: dict[str, int] = {}

    def close_in_child(self) -> None:
        """A forked process, such as a worker of a data loader that outlives its parent by some
        seconds, must not keep what the parent held."""
        for descriptor in self.files.values():
            os.close(descriptor)
        self.counts.clear()
        self.files.clear()


_held = _Held()
os.register_at_fork(after_in_child=_held.close_in_child)


@contextlib.contextmanager
def lock_folder(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Hold a folder for this process; a block inside a block for the same folder is let in.

    The lock is ``flock`` on ``<folder>/.cascade_rpn_d2.lock``, which stays behind and says who held
    it last. Where the file system has no locks there is a warning, and no protection.

    Args:
        folder: must exist.

    Raises:
        FolderInUse: if another process holds it; says which.
        OSError: if nothing can be written there, or if that file is a link.
    """
    key = os.path.realpath(folder)
    if not _held.counts.get(key):
        descriptor = _acquire(Path(folder))
        if descriptor is not None:
            _held.files[key] = descriptor
    _held.counts[key] = _held.counts.get(key, 0) + 1
    try:
        yield
    finally:
        # In a process forked inside the block there is nothing to let go of.
        if key in _held.counts:
            _held.counts[key] -= 1
            if not _held.counts[key]:
                del _held.counts[key]
                if key in _held.files:
                    os.close(_held.files.pop(key))


def _acquire(folder: Path) -> int | None:
    """The open file that holds the lock; None where there are no locks."""
    path = folder / _FILE
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise OSError(
                    f"{path} is a link, and what it leads to would be overwritten: remove it."
                ) from error
            raise OSError(
                f"Cannot write to the folder {folder} ({error.strerror}): give another one."
            ) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in _UNSUPPORTED:
                os.close(descriptor)
                logger.warning(
                    "The file system of %s has no locks (%s): see to it that no other run writes "
                    "there.",
                    *(folder, error.strerror),
                )
                return None
            holder = _read_holder(descriptor)
            os.close(descriptor)
            if error.errno in _HELD_ELSEWHERE:
                raise FolderInUse(folder, holder) from error
            raise
        if _is_still_there(descriptor, path):
            break
        os.close(descriptor)  # the folder was removed by who held it before
    own = json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode()
    with contextlib.suppress(OSError):  # a full disk: the lock holds all the same
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, own, 0)
    return descriptor


def _is_still_there(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def _read_holder(descriptor: int) -> str:
    try:
        holder = json.loads(os.pread(descriptor, 1000, 0))
        pid, host = int(holder["pid"]), str(holder["host"])
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
    return f"process {pid}" + ("" if host == socket.gethostname() else f" on {host!r}")
