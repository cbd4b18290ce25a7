"""Heads that classify and refine the proposals of a detector."""

from .cascade_rcnn import ResamplingCascadeROIHeads

__all__ = ["ResamplingCascadeROIHeads"]
