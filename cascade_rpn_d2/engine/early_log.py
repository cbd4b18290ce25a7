"""What is logged before there is a folder for it, such as what was found when data were read."""

from __future__ import annotations

import logging
import sys
from collections import deque
from collections.abc import Iterable


class _Keeper(logging.Handler):
    """Keeps records, of those of a run that never gets a folder the last."""

    def __init__(self) -> None:
        super().__init__()
        self.records: deque[logging.LogRecord] = deque(maxlen=1000)

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


_KEEPER = _Keeper()


def keep_records(names: Iterable[str]) -> None:
    """Keep what these loggers are given from now on, beside showing it."""
    for name in names:
        logging.getLogger(name).addHandler(_KEEPER)


def write_kept_records(names: Iterable[str]) -> None:
    """Write what was kept to the files, not the screen, that these loggers write to by now."""
    names = set(names)
    while _KEEPER.records:
        record = _KEEPER.records.popleft()
        if record.name.partition(".")[0] in names:
            write_to_files(record)


def write_to_files(record: logging.LogRecord) -> None:
    """Write a record to the files of its logger, not the screen."""
    for handler in logging.getLogger(record.name.partition(".")[0]).handlers:
        if isinstance(handler, logging.StreamHandler) and handler.stream is not sys.stdout:
            handler.handle(record)
