"""Boxes that name their first and last pixel: the coordinates of detection codes before 2020.

A box ``(x1, y1, x2, y2)`` covers the pixels ``x1`` to ``x2``, both included, and is ``x2 - x1 + 1``
wide. Everywhere else in this package ``x2`` is an edge, and a box is ``x2 - x1`` wide. Weights that
were trained in these coordinates detect a little beside the objects in others; with the parts in
here a detector has the boxes of the old codes number by number. Not all of them are consistent:
where a code takes ``x2`` for an edge all the same, so does its counterpart.
"""

from .anchors import AnchorRounding, InclusiveAnchorGenerator
from .box_coder import InclusiveBox2BoxTransform, InclusiveBoxCoder
from .class_predictor import InclusiveClassPredictor
from .detector import InclusiveRCNN
from .pixels import edges_of, pixels_of
from .pooler import InclusiveROIPooler
from .rpn import InclusiveRPN

__all__ = [
    "AnchorRounding",
    "InclusiveAnchorGenerator",
    "InclusiveBox2BoxTransform",
    "InclusiveBoxCoder",
    "InclusiveClassPredictor",
    "InclusiveRCNN",
    "InclusiveROIPooler",
    "InclusiveRPN",
    "edges_of",
    "pixels_of",
]
