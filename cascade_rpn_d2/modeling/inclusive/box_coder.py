"""The coding of one box relative to another, for boxes that name their first and last pixel."""

from __future__ import annotations

from detectron2.modeling.box_regression import Box2BoxTransform
from torch import Tensor

from ..box_coder import BoxCoder, SymmetricBox2BoxTransform
from .pixels import edges_of, pixels_of


class InclusiveBoxCoder:
    """A :class:`BoxCoder` of the edges of the boxes, for proposal generators.

    Args:
        coder: of the edges.
    """

    def __init__(self, coder: BoxCoder):
        self.coder = coder
        self.stds = coder.stds

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.coder!r})"

    def encode(self, references: Tensor, targets: Tensor) -> Tensor:
        """Deltas (..., 4) that lead from ``references`` (..., 4) to ``targets`` (..., 4)."""
        return self.coder.encode(edges_of(references), edges_of(targets))

    def decode(self, references: Tensor, deltas: Tensor) -> Tensor:
        """Boxes (..., 4) that ``deltas`` (..., 4) make of ``references`` (..., 4); not clipped."""
        return pixels_of(self.coder.decode(edges_of(references), deltas))


class InclusiveBox2BoxTransform:
    """Another coding, of the edges of the boxes, for Detectron2's ROI heads.

    Args:
        transform: the coding: Detectron2's, which bounds growth alone, as Detectron and CPM R-CNN
            do, or ours, which bounds both growth and shrinking, as mmdet and Grid R-CNN Plus do.
    """

    def __init__(self, transform: Box2BoxTransform | SymmetricBox2BoxTransform):
        self.transform = transform
        self.weights = transform.weights

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.transform!r})"

    def get_deltas(self, src_boxes: Tensor, target_boxes: Tensor) -> Tensor:
        """Deltas (n, 4) that lead from ``src_boxes`` (n, 4) to ``target_boxes`` (n, 4)."""
        return self.transform.get_deltas(edges_of(src_boxes), edges_of(target_boxes))

    def apply_deltas(self, deltas: Tensor, boxes: Tensor) -> Tensor:
        """Boxes (n, k*4) that ``deltas`` (n, k*4), one set a class, make of ``boxes`` (n, 4)."""
        edges = self.transform.apply_deltas(deltas, edges_of(boxes))
        return pixels_of(edges.unflatten(1, (-1, 4))).flatten(1)
