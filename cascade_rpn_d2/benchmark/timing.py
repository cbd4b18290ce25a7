"""The time of one thing in units of the time of another.

Machines speed up, slow down and are shared, so that two times taken minutes apart cannot be
compared. Here the two things run back to back, in alternating order, and what counts is the median
of the ratios of these pairs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

# Called without arguments; whatever it returns is dropped.
Part = Callable[[], object]


@dataclass(frozen=True)
class Budget:
    """How often a pair is repeated.

    Attributes:
        min_pairs: at least so often, whatever it takes.
        max_pairs: at most so often.
        seconds: no further pair once the pairs have taken so long.
        warmup: runs of both before the first pair that counts.
    """

    min_pairs: int = 5
    max_pairs: int = 50
    seconds: float = 10.0
    warmup: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.min_pairs <= self.max_pairs:
            raise ValueError(
                f"A budget needs 1 <= min_pairs <= max_pairs, not {self.min_pairs} and "
                f"{self.max_pairs}."
            )


@dataclass(frozen=True)
class Comparison:
    """The outcome of the pairs.

    Attributes:
        ratio: median over the pairs of time / time of the reference.
        quartiles: of these ratios.
        time_ms: median time in milliseconds.
        reference_ms: median time of the reference in milliseconds.
        pairs: how many there were.
    """

    ratio: float
    quartiles: tuple[float, float]
    time_ms: float
    reference_ms: float
    pairs: int


class PairTimes:
    """Times of both sides of every pair, part by part.

    Args:
        times: (pairs, parts) in seconds.
        reference: (pairs, parts of the reference) in seconds.
    """

    def __init__(self, times: npt.ArrayLike, reference: npt.ArrayLike):
        self.times = np.asarray(times, dtype=np.float64)
        self.reference = np.asarray(reference, dtype=np.float64)

    def total(self) -> Comparison:
        """All parts together."""
        return _compare(self.times.sum(axis=1), self.reference.sum(axis=1))

    def part(self, index: int) -> Comparison:
        """One part against the same part of the reference."""
        return _compare(self.times[:, index], self.reference[:, index])


def time_pairs(
    parts: Sequence[Part], reference: Sequence[Part], *, device: torch.device, budget: Budget
) -> PairTimes:
    """Run both, back to back and in alternating order, until the budget is spent.

    Args:
        parts: what is measured, run one after the other, such as the levels of a pyramid.
        reference: what it is measured against, likewise.
        device: where they run: a GPU is timed by its own clock.
        budget: how often.
    """
    stopwatch = _cuda_stopwatch if device.type == "cuda" else _cpu_stopwatch
    for _ in range(budget.warmup):
        stopwatch(parts, device)
        stopwatch(reference, device)
    times: list[list[float]] = []
    reference_times: list[list[float]] = []
    start = time.perf_counter()
    while len(times) < budget.min_pairs or (
        len(times) < budget.max_pairs and time.perf_counter() - start < budget.seconds
    ):
        if len(times) % 2 == 0:
            times.append(stopwatch(parts, device))
            reference_times.append(stopwatch(reference, device))
        else:
            reference_times.append(stopwatch(reference, device))
            times.append(stopwatch(parts, device))
    return PairTimes(times, reference_times)


def _compare(times: npt.NDArray[np.float64], reference: npt.NDArray[np.float64]) -> Comparison:
    low, median, high = np.quantile(times / reference, (0.25, 0.5, 0.75))
    return Comparison(
        ratio=float(median),
        quartiles=(float(low), float(high)),
        time_ms=float(np.median(times)) * 1e3,
        reference_ms=float(np.median(reference)) * 1e3,
        pairs=len(times),
    )


def _cpu_stopwatch(parts: Sequence[Part], device: torch.device) -> list[float]:
    """Seconds of every part."""
    marks = [time.perf_counter()]
    for part in parts:
        part()
        marks.append(time.perf_counter())
    return [end - start for start, end in zip(marks, marks[1:], strict=False)]


def _cuda_stopwatch(parts: Sequence[Part], device: torch.device) -> list[float]:
    """Seconds of every part on the stream; the host waits before the first and after the last."""
    stream = torch.cuda.current_stream(device)
    events = [torch.cuda.Event(enable_timing=True) for _ in range(len(parts) + 1)]
    torch.cuda.synchronize(device)
    events[0].record(stream)
    for part, event in zip(parts, events[1:], strict=True):
        part()
        event.record(stream)
    torch.cuda.synchronize(device)
    return [a.elapsed_time(b) / 1e3 for a, b in zip(events, events[1:], strict=False)]
