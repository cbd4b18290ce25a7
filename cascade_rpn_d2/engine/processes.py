"""What the main process of a run finds out or does for all."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from detectron2.utils import comm

T = TypeVar("T")


def of_main_process(function: Callable[[], T]) -> T:
    """Call a function in the main process, and return in all what it returns, or raise what it
    raises, so that none waits for one that has stopped.

    Args:
        function: what it returns or raises can be pickled.
    """
    outcome: tuple[T | None, Exception | None] = None, None
    if comm.is_main_process():
        try:
            outcome = function(), None
        except Exception as error:
            outcome = None, error
    result, failure = comm.all_gather(outcome)[0]
    if failure is not None:
        raise failure
    return result
