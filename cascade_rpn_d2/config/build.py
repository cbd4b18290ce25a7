"""From a part of a config to the object that it describes."""

from __future__ import annotations

import traceback
from typing import Any

from detectron2.config import instantiate
from omegaconf.errors import OmegaConfBaseException

from ..files.untrusted import shown

# What constructors raise for arguments that they do not take; a ValueError has its own sentence.
_REFUSALS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    OmegaConfBaseException,
    RuntimeError,
    TypeError,
)


def build_part(node: Any, key: str, kind: Any = None) -> Any:
    """Build what a part of a config describes, as Detectron2's ``instantiate`` does.

    Args:
        node: the part, a config or plain dicts and lists.
        key: where it is in the config, such as ``"dataloader.train"``.
        kind: the class of what it must be, concrete or abstract such as ``Callable``; None for any.

    Raises:
        ValueError: if it cannot be built, or is of another kind; names the part and the reason.
        OSError: if a file that it reads cannot be read.
    """
    try:
        built = instantiate(node)
    except _REFUSALS as error:
        raise ValueError(
            f"The {key} of the config cannot be built ({_reason(error)}): change {key}."
        ) from error
    if kind is not None and not isinstance(built, kind):
        raise ValueError(
            f"The {key} of the config is no {kind.__name__} ({shown(repr(built), 60)}): give "
            f"{key} the _target_ of one."
        )
    return built


def _reason(error: Exception) -> str:
    """The first line that says something, of an assertion without words what it asserts."""
    said = next((line for line in str(error).splitlines() if line.strip()), "")
    if isinstance(error, AssertionError):
        (last,) = traceback.extract_tb(error.__traceback__)[-1:]
        said = said if " " in said else f"{last.line} {said}".strip()
    return shown(f"{type(error).__name__}: {said}".rstrip(": "), 200)
