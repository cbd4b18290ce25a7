"""One sentence for a failure that a user can mend, through however many processes it has come."""

from __future__ import annotations

import builtins
import re
from pydoc import locate

from omegaconf.errors import OmegaConfBaseException
from torch.multiprocessing import ProcessRaisedException

# What this package raises for bad input, failing disks and diverging runs; and OmegaConf for a
# config in which something else is where a key has to be.
MENDABLE = (ValueError, OSError, FloatingPointError, OmegaConfBaseException)
# The last line of a traceback: the class of the exception, then what it says.
_LAST_LINE = re.compile(r"^([A-Za-z_][\w.]*): (.*)$")


def mendable_message(error: BaseException) -> str | None:
    """What an exception says, in one line, if it is one that a user can mend; else None.

    Workers of a data loader and processes of a distributed run hand exceptions on as the text of a
    traceback; its last line is what was said first.
    """
    text = str(error).strip()
    if isinstance(error, OmegaConfBaseException):  # with lines on where in the config it is
        where = f" at {error.full_key}" if error.full_key else ""
        return f"The config has what it must not have{where}: {text.partition(chr(10))[0]}."
    if not isinstance(error, (*MENDABLE, ProcessRaisedException)):
        return None
    last = text.splitlines()[-1] if text else type(error).__name__
    match = _LAST_LINE.match(last)
    kind = _class_named(match[1]) if match else None
    if isinstance(error, ProcessRaisedException):
        return match[2] if match and kind and issubclass(kind, MENDABLE) else None
    return match[2] if match and kind else last if "Traceback" in text else text


def _class_named(name: str) -> type[BaseException] | None:
    found = getattr(builtins, name, None) or locate(name)
    return found if isinstance(found, type) and issubclass(found, BaseException) else None
