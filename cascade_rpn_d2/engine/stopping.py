"""Ends a command in good order when it is told to: Ctrl-C, SIGTERM, or SIGUSR1.

SIGTERM is how schedulers, containers and torchrun end a process, and SIGUSR1 is what Slurm can send
some time before (``--signal=USR1@120``). Whatever a process is doing ends with :class:`Stopped`,
but for a training, which is :func:`deferred`: it stops between two steps, or in a slow one. A
second signal ends the process at once. The exit status is 128 and the number of the signal, as a
shell has it: 130, 143 or 138.

Processes that are forked meanwhile, such as the workers of a data loader, heed no signals but of
their parent, for a terminal and a scheduler tell the whole group.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType
from typing import Any

from detectron2.utils import comm

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
_NAMES = {signal.SIGINT: "Ctrl-C"}
# A launcher passes on what the scheduler or the terminal has told its processes already.
_SAME_SIGNAL_SECONDS = 5.0
_LOOK_SECONDS = 0.2  # between two looks at what the first process of a run is told


class Stopped(SystemExit):
    """The process was told to stop; ends it with that exit status if nothing catches it.

    Args:
        message: what was stopped and how to go on, in one sentence; empty if it is said elsewhere.
        number: of the signal.
    """

    def __init__(self, message: str, number: int) -> None:
        super().__init__(128 + number)
        self.message = message
        self.number = number

    def __str__(self) -> str:
        return self.message


class _State:
    """What this process has been told; there is one, as signals are the process's."""

    def __init__(self) -> None:
        self.installed = False
        self.begin(0.0)

    def begin(self, same_seconds: float) -> None:
        """Nothing has come yet.

        Args:
            same_seconds: a further signal within these is the first one again.
        """
        self.deferred = False
        self.number = 0
        self.when = 0.0
        self.same_seconds = same_seconds


_state = _State()


@contextlib.contextmanager
def stop_on_signals(*, forwarded: bool = False) -> Iterator[None]:
    """Heed the signals inside the block; a block inside another changes nothing.

    Outside the main thread, where Python takes no signals, nothing is done.

    Args:
        forwarded: whether a launcher passes on its own signals, so that one may come twice.
    """
    if _state.installed or threading.current_thread() is not threading.main_thread():
        yield
        return
    _state.begin(_SAME_SIGNAL_SECONDS if forwarded else 0.0)
    before = {number: signal.signal(number, _handle) for number in SIGNALS}
    _state.installed = True
    try:
        yield
    finally:
        _state.installed = False
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def deferred() -> Iterator[None]:
    """Only note the signals inside the block, which looks at :func:`requested` itself."""
    before, _state.deferred = _state.deferred, True
    try:
        yield
    finally:
        _state.deferred = before


@contextlib.contextmanager
def immediate() -> Iterator[None]:
    """Stop at once inside the block again, whatever is around it.

    Raises:
        Stopped: at the start if a signal has come already.
    """
    before, _state.deferred = _state.deferred, False
    try:
        if requested():
            raise stopped()
        yield
    finally:
        _state.deferred = before


def heeded() -> bool:
    """Whether this is inside a block that heeds the signals, whose end says what was stopped."""
    return _state.installed


def requested() -> int:
    """The number of the signal that has come, 0 if none."""
    return _state.number if _state.installed else 0


def stopped(rest: str = ".") -> Stopped:
    """What to raise.

    Args:
        rest: of the sentence, such as ``": give the same command again."``
    """
    number = requested() or signal.SIGTERM  # which another process was sent
    return Stopped(f"stopped by {name_of(number)}{rest}", number)


def name_of(number: int) -> str:
    """What users call a signal."""
    return _NAMES.get(signal.Signals(number), signal.Signals(number).name)


def _handle(number: int, frame: FrameType | None) -> None:
    if not _state.number:
        _state.number, _state.when = number, time.monotonic()
        if not _state.deferred:
            raise stopped()
        _say(f"{name_of(number)}: stopping after this iteration; a second one ends it at once.")
    elif time.monotonic() - _state.when >= _state.same_seconds:
        _say(f"{name_of(number)} again: ended at once.")
        os._exit(128 + number)


def _say(text: str) -> None:
    """Write to the standard error as is safe in the middle of anything."""
    if comm.is_main_process():
        with contextlib.suppress(OSError):
            os.write(2, f"\n{text}\n".encode())


class Relay:
    """Tells the processes that this one starts what this one is told.

    Args:
        told: a number that all of them share: 0, then that of the signal, then its negative for
            those that are to end at once.
    """

    def __init__(self, told: Any) -> None:
        self._told = told

    @contextlib.contextmanager
    def sending(self) -> Iterator[None]:
        """Around starting and awaiting the processes, which begin with the signals held back."""
        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        before = {number: signal.signal(number, lambda *_: None) for number in SIGNALS}
        descriptor = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        # The thread takes the signals, and is started before the others are kept from it.
        thread = threading.Thread(target=self._pass_on, args=(reading,), daemon=True)
        thread.start()
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            signal.set_wakeup_fd(descriptor)
            os.close(writing)  # which ends the thread
            thread.join()
            os.close(reading)
            for number, handler in before.items():
                signal.signal(number, handler)

    def _pass_on(self, reading: int) -> None:
        while data := os.read(reading, 1):
            (number,) = data
            if number not in SIGNALS:
                continue
            if self._told.value:
                self._told.value = -number
                time.sleep(2 * _LOOK_SECONDS)
                os._exit(128 + number)
            self._told.value = number

    @contextlib.contextmanager
    def receiving(self) -> Iterator[None]:
        """In such a process: :func:`stop_on_signals`, also for what the first one is told."""
        done = threading.Event()
        with stop_on_signals(forwarded=True):
            thread = threading.Thread(target=self._listen, args=(done,), daemon=True)
            thread.start()
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
            try:
                yield
            finally:
                done.set()
                thread.join()

    def _listen(self, done: threading.Event) -> None:
        heard = 0
        while not done.wait(_LOOK_SECONDS):
            told = self._told.value
            if told < 0:
                os._exit(128 - told)
            if told > heard:
                heard = told
                os.kill(os.getpid(), told)


# Around a fork the signals are held back, so that none meets the new process unprepared.
_thread = threading.local()


def _before_fork() -> None:
    _thread.mask = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS if _state.installed else ())


def _after_fork_in_parent() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _thread.mask)


def _after_fork_in_child() -> None:
    if not _state.installed:
        signal.pthread_sigmask(signal.SIG_SETMASK, _thread.mask)
        return
    # All signals stay blocked here; the thread sees who sends them, as no handler of Python's does.
    threading.Thread(target=_heed_parent, daemon=True).start()


def _heed_parent() -> None:
    while True:
        sent = signal.sigwaitinfo({signal.SIGTERM})
        if sent.si_pid == os.getppid():  # a pool or a loader that is closed
            os._exit(0)


os.register_at_fork(
    before=_before_fork,
    after_in_parent=_after_fork_in_parent,
    after_in_child=_after_fork_in_child,
)
