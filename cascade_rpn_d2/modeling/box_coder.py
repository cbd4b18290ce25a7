"""The standard (dx, dy, dw, dh) coding of one box relative to another, with regression statistics.

Why not Detectron2's ``Box2BoxTransform``: it clamps dw and dh from above only, while every released
Cascade RPN was trained and is evaluated with a clamp on both sides, and its encoder asserts on the
empty boxes that clipping produces between the stages.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

# As mmdet has it for the deltas of proposals and detections.
MAX_SIDE_RATIO = 1000.0 / 16


class BoxCoder:
    """Codes target boxes as deltas to reference boxes, and back (Cascade RPN, equation 1).

    Args:
        stds: standard deviations of (dx, dy, dw, dh) in units of the reference box: a network
            output of 1 means a delta of one standard deviation. The reciprocals of Detectron2's
            ``weights``.
        max_side_ratio: no side grows by more than this factor.
        bounds_shrinking: whether no side shrinks by more than that factor either, as in mmdet and
            Grid R-CNN Plus; otherwise, as in Detectron and CPM R-CNN, there is no such bound.

    Raises:
        ValueError: if there are not four positive standard deviations, or the factor is below 1.
    """

    def __init__(
        self,
        stds: Sequence[float] = (1.0, 1.0, 1.0, 1.0),
        *,
        max_side_ratio: float = MAX_SIDE_RATIO,
        bounds_shrinking: bool = True,
    ):
        self.stds = tuple(float(s) for s in stds)
        if len(self.stds) != 4 or not all(s > 0 for s in self.stds):
            raise ValueError(
                f"stds must be four positive numbers (dx, dy, dw, dh), not {self.stds}."
            )
        if not max_side_ratio >= 1:
            raise ValueError(f"max_side_ratio must be at least 1, not {max_side_ratio}.")
        self.max_side_ratio = float(max_side_ratio)
        self.bounds_shrinking = bounds_shrinking

    def __repr__(self) -> str:
        return f"{type(self).__name__}(stds={self.stds}, max_side_ratio={self.max_side_ratio})"

    def encode(self, references: Tensor, targets: Tensor) -> Tensor:
        """Deltas (..., 4) that lead from ``references`` (..., 4) to ``targets`` (..., 4).

        A reference without width or height is coded as if it were 1e-6 wide: finite, but of no use.
        """
        rx, ry, rw, rh = _center_and_size(references)
        tx, ty, tw, th = _center_and_size(targets)
        rw, rh, tw, th = (side.clamp(min=1e-6) for side in (rw, rh, tw, th))
        deltas = ((tx - rx) / rw, (ty - ry) / rh, (tw / rw).log(), (th / rh).log())
        return torch.stack([d / std for d, std in zip(deltas, self.stds, strict=True)], dim=-1)

    def decode(self, references: Tensor, deltas: Tensor) -> Tensor:
        """Boxes (..., 4) that ``deltas`` (..., 4) make of ``references`` (..., 4); not clipped.

        Works in float32 at least, whatever the precision of the deltas.
        """
        deltas = deltas if deltas.dtype == torch.float64 else deltas.float()
        limit = math.log(self.max_side_ratio)
        least = -limit if self.bounds_shrinking else None
        cx, cy, w, h = _center_and_size(references)
        # Number by number: a tensor of the four would have to be sent to the device, which waits.
        dx, dy, dw, dh = (d * std for d, std in zip(deltas.unbind(-1), self.stds, strict=True))
        cx, cy = cx + dx * w, cy + dy * h
        w = w * dw.clamp(least, limit).exp()
        h = h * dh.clamp(least, limit).exp()
        return torch.stack((cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2), dim=-1)


def _center_and_size(boxes: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    x1, y1, x2, y2 = boxes.unbind(-1)
    return (x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1


class SymmetricBox2BoxTransform:
    """A :class:`BoxCoder` in the place of Detectron2's ``Box2BoxTransform``, for its own heads.

    dw and dh are clamped on both sides, as mmdet does, so that converted weights give the same
    boxes; Detectron2's class clamps them from above only, and cannot be subclassed.

    Args:
        weights: reciprocals of the standard deviations of (dx, dy, dw, dh).

    Raises:
        ValueError: if there are not four positive weights.
    """

    def __init__(self, weights: Sequence[float]):
        self.weights = tuple(float(w) for w in weights)
        if len(self.weights) != 4 or not all(w > 0 for w in self.weights):
            raise ValueError(
                f"weights must be four positive numbers (dx, dy, dw, dh), not {self.weights}."
            )
        self.coder = BoxCoder([1 / w for w in self.weights])

    def __repr__(self) -> str:
        return f"{type(self).__name__}(weights={self.weights})"

    def get_deltas(self, src_boxes: Tensor, target_boxes: Tensor) -> Tensor:
        """Deltas (n, 4) that lead from ``src_boxes`` (n, 4) to ``target_boxes`` (n, 4)."""
        return self.coder.encode(src_boxes, target_boxes)

    def apply_deltas(self, deltas: Tensor, boxes: Tensor) -> Tensor:
        """Boxes (n, k*4) that ``deltas`` (n, k*4), one set a class, make of ``boxes`` (n, 4)."""
        per_class = deltas.unflatten(1, (-1, 4))  # (n, k*4) -> (n, k, 4)
        return self.coder.decode(boxes[:, None], per_class).flatten(1)
