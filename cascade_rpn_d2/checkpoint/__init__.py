"""Checkpoints: written so that they survive, loaded so that a wrong one is noticed."""

from .atomic import write_atomically
from .checkpointer import Checkpointer

__all__ = ["Checkpointer", "write_atomically"]
