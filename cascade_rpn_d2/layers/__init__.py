"""Tensors in, tensors out: operators, losses and box arithmetic. Imports torch only."""

from __future__ import annotations

from .adaptive_conv import AdaptiveConv2d, adaptive_conv2d
from .deform_conv import DeformConv2d, deform_conv2d

__all__ = ["AdaptiveConv2d", "DeformConv2d", "adaptive_conv2d", "deform_conv2d"]
