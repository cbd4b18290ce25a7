"""The metrics of a run: a line on the screen, ``metrics.json`` and TensorBoard."""

from __future__ import annotations

import json
import math
import os
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from detectron2.engine import hooks
from detectron2.utils.events import (
    CommonMetricPrinter,
    JSONWriter,
    TensorboardXWriter,
    get_event_storage,
)

from ..files.atomic import write_atomically

_FILE = "metrics.json"
# Between two lines on the screen, where iterations are slow.
_SECONDS = 30.0


class MetricsWriter(hooks.PeriodicWriter):
    """Writes the metrics every so many iterations, and whenever :meth:`flush` is called.

    On the screen there is a line for the first iteration, and where iterations are slow also one
    every half a minute; what is in the files does not depend on the clock.

    Args:
        folder: where ``metrics.json`` and the events of TensorBoard are.
        max_iter: of the run.
        period: iterations between two lines.
        clock: in seconds.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        max_iter: int,
        period: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__([_Json(os.path.join(folder, _FILE)), _TensorBoard(str(folder))], period)
        self._printer = CommonMetricPrinter(max_iter)
        self._clock = clock
        self._printed: float | None = None

    def flush(self) -> None:
        """Put on the disk what is known by now, as before a checkpoint and after an evaluation."""
        for writer in self._writers:
            writer.write()

    def after_step(self) -> None:
        """Print and write if it is time to."""
        due = (self.trainer.iter + 1) % self._period == 0
        due |= self.trainer.iter == self.trainer.max_iter - 1
        now = self._clock()
        if due or self._printed is None or now - self._printed >= _SECONDS:
            self._printed = now
            self._printer.write()
        if due:
            self.flush()


class _News:
    """Which scalars have not been written yet: an evaluation may come after a line of the same
    iteration."""

    def __init__(self) -> None:
        self._written: dict[str, int] = {}

    def take(self, window: int) -> dict[int, dict[str, float]]:
        """The new values by iteration and name, from now on no news; medians over a window."""
        news: defaultdict[int, dict[str, float]] = defaultdict(dict)
        for name, (value, at) in get_event_storage().latest_with_smoothing_hint(window).items():
            if self._written.get(name, -1) < at:
                self._written[name] = at
                news[at][name] = value
        return dict(sorted(news.items()))


class _Json(JSONWriter):
    """A line of strict json an iteration, in which a metric without a value (NaN) is null."""

    def __init__(self, path: str) -> None:
        # The values of the iteration itself, where a median over the last ones would depend on when
        # the run was resumed.
        super().__init__(path, window_size=1)
        self._news = _News()

    def write(self) -> None:
        for iteration, values in self._news.take(self._window_size).items():
            line: dict[str, Any] = {
                name: value if math.isfinite(value) else None for name, value in values.items()
            }
            line["iteration"] = iteration
            text = json.dumps(line, sort_keys=True, allow_nan=False)
            self._file_handle.write(f"{text}\n")
        self._file_handle.flush()
        os.fsync(self._file_handle.fileno())


class _TensorBoard(TensorboardXWriter):
    """Detectron2's writer, on the disk at once."""

    def __init__(self, folder: str) -> None:
        super().__init__(folder)
        self._news = _News()
        self._last_write = math.inf  # leaves images and histograms to it

    def write(self) -> None:
        for iteration, values in self._news.take(self._window_size).items():
            for name, value in values.items():
                self._writer.add_scalar(name, value, iteration)
        super().write()
        self._writer.flush()


def keep_metrics_before(folder: str | os.PathLike[str], iteration: int) -> None:
    """Drop the lines of a run's ``metrics.json`` whose iterations will be repeated.

    Args:
        folder: of the run.
        iteration: that it goes on with.

    Raises:
        ValueError: if the file has a line that no run has written; names it.
        OSError: if it cannot be read or written.
    """
    file = Path(folder, _FILE)
    if not file.exists():
        return
    # What comes after the last end of a line was being written when the run was killed.
    *lines, _ = file.read_text("utf-8", errors="replace").split("\n")
    kept = []
    for number, line in enumerate(lines, start=1):
        at = iteration_of(line)
        if at is None:
            raise ValueError(
                f"Line {number} of {file} is not of a run: remove that line, or move the file away."
            )
        if at < iteration:
            kept.append(line)
    content = "".join(f"{line}\n" for line in kept)
    write_atomically(file, lambda out: out.write(content.encode()))


def iteration_of(line: str) -> int | None:
    """Of a line of ``metrics.json``; None if it is not of a run."""
    try:
        value = json.loads(line)["iteration"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return value if isinstance(value, int) else None
