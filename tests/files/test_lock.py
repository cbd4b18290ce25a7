from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cascade_rpn_d2.files.lock import FolderInUse, lock_folder

LOCK = ".cascade_rpn_d2.lock"

HOLD = """
import os, sys, time
from cascade_rpn_d2.files.lock import lock_folder
with lock_folder(sys.argv[1]):
    if len(sys.argv) > 2 and os.fork() == 0:  # as a worker of a data loader, which lives on
        time.sleep(60)
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path: Path, repository: Path):
    """Starts processes that hold the folder of the test until their standard input ends."""
    started = []

    def start(*more: str) -> subprocess.Popen:
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(tmp_path), *more],
            cwd=repository,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        assert process.stdout is not None and process.stdout.readline() == "held\n"
        return process

    yield start
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def test_a_folder_held_by_another_process_is_refused_until_its_end(holder, tmp_path):
    other = holder()
    with (
        pytest.raises(FolderInUse, match=f"in use by process {other.pid}: wait for its end, or"),
        lock_folder(tmp_path),
    ):
        pass
    other.communicate("")
    with lock_folder(tmp_path):
        pass


def test_the_refusal_is_handed_from_process_to_process():
    error = pickle.loads(pickle.dumps(FolderInUse(Path("runs"), "process 71")))
    assert error.holder == "process 71" and "runs is in use by process 71: wait" in str(error)


def test_a_killed_process_holds_nothing_even_if_a_worker_outlives_it(holder, tmp_path):
    other = holder("with a worker")
    other.kill()
    other.wait()
    with lock_folder(tmp_path):
        assert (tmp_path / LOCK).read_text().startswith(f'{{"pid": {os.getpid()}')


def test_a_process_is_let_into_what_it_holds_and_keeps_it_until_the_outer_end(holder, tmp_path):
    (tmp_path / "link").symlink_to(tmp_path)
    with lock_folder(tmp_path):
        with lock_folder(str(tmp_path / "link")):
            pass
        with (tmp_path / LOCK).open() as file, pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    holder()


def test_a_forked_process_does_not_let_go_of_what_its_parent_holds(tmp_path):
    with lock_folder(tmp_path):
        child = os.fork()
        if not child:
            try:
                with lock_folder(tmp_path):
                    os._exit(1)
            except FolderInUse:
                os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        with (tmp_path / LOCK).open() as file, pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_file_system_without_locks_is_warned_of(tmp_path, monkeypatch, caplog):
    def without(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", without)
    with caplog.at_level(logging.WARNING), lock_folder(tmp_path), lock_folder(tmp_path):
        pass
    assert caplog.text.count("has no locks (No locks available): see to it") == 1


def test_a_folder_that_its_holder_removed_is_held_anew(tmp_path, monkeypatch):
    folder = tmp_path / "parts"
    folder.mkdir()
    flock = fcntl.flock

    def late(descriptor, operation):
        # Between the opening and the lock the other process ended and removed the folder.
        monkeypatch.setattr(fcntl, "flock", flock)
        (folder / LOCK).unlink()
        return flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    with lock_folder(folder), (folder / LOCK).open() as file, pytest.raises(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_read_only_folder_is_said(tmp_path, monkeypatch):
    def read_only(*_):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(os, "open", read_only)
    with (
        pytest.raises(OSError, match=r"Cannot write to the folder .*Read-only"),
        lock_folder(tmp_path),
    ):
        pass


def test_files_of_others_are_neither_emptied_nor_followed(tmp_path):
    (tmp_path / ".lock").write_text("of another program")
    with lock_folder(tmp_path):
        assert (tmp_path / ".lock").read_text() == "of another program"
    (tmp_path / "important.txt").write_text("important")
    (tmp_path / LOCK).unlink()
    (tmp_path / LOCK).symlink_to("important.txt")
    with (
        pytest.raises(OSError, match=r"d2\.lock is a link, and .*: remove it"),
        lock_folder(tmp_path),
    ):
        pass
    assert (tmp_path / "important.txt").read_text() == "important"
