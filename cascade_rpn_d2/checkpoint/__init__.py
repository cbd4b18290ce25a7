"""Checkpoints: written so that they survive, loaded so that a wrong one is noticed."""

from .checkpointer import Checkpointer
from .convert import (
    Conversion,
    check_destination,
    convert_checkpoint,
    convert_state,
    write_conversion,
)
from .location_polarity import LocationStatistics, PolarityChoice, PolarityDecision

__all__ = [
    "Checkpointer",
    "Conversion",
    "LocationStatistics",
    "PolarityChoice",
    "PolarityDecision",
    "check_destination",
    "convert_checkpoint",
    "convert_state",
    "write_conversion",
]
