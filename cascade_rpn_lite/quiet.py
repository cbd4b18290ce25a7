"""Silence for what other libraries say of themselves, which the user of a command cannot mend."""

from __future__ import annotations

import logging
import os
import re
import warnings
from argparse import Namespace
from collections.abc import Callable

# How warnings of torch begin that Detectron2, fvcore and few cores cause, without colons and
# commas, which PYTHONWARNINGS has for itself.
_WARNINGS = (
    (FutureWarning, "`torch.jit.script"),
    (UserWarning, "torch.meshgrid"),
    (UserWarning, "This DataLoader will create"),
    (FutureWarning, "`broadcast_buffers` is deprecated"),
)
_LOGGER, _LOGGED = "torch.fx._symbolic_trace", "is_fx_tracing will return true"


def quieten() -> None:
    """Filter it in this process and, as far as it is said on import, in those that it starts.

    Filters that the user has asked for, by ``-W`` or ``PYTHONWARNINGS``, come first.
    """
    for category, start in _WARNINGS:
        warnings.filterwarnings("ignore", re.escape(start), category, append=True)
    # New processes import torch before anything of ours.
    ours = ",".join(f"ignore:{start}:{category.__name__}" for category, start in _WARNINGS)
    asked = os.environ.get("PYTHONWARNINGS", "")
    if not asked.startswith(ours):
        os.environ["PYTHONWARNINGS"] = f"{ours},{asked}" if asked else ours
    logging.getLogger(_LOGGER).addFilter(_is_news)


def run_quietly(main: Callable[[Namespace], int | None], args: Namespace) -> int | None:
    """Call ``main(args)``, in whichever process, after :func:`quieten`."""
    quieten()
    return main(args)


def _is_news(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith(_LOGGED)
