"""Why a file could not be loaded, in a few words."""

from __future__ import annotations


def why_not_loaded(error: Exception) -> str:
    """The first line of what went wrong, without PyTorch's advice to read it unsafely."""
    reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(". ")
    if "weights_only" in reason:
        return "it is not of PyTorch, or holds what cannot be read safely"
    return reason
