"""Detectron2's resizing, of images that are far longer than wide too."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
from detectron2.data import transforms as T


class ResizeShortestEdge(T.ResizeShortestEdge):
    """Detectron2's ``ResizeShortestEdge``, but that each side keeps at least one pixel.

    Detectron2 makes 0 rows of the two of an image of 2 x 3000, and cannot go on with them.
    """

    def get_transform(self, image: npt.NDArray[np.generic]) -> T.Transform:
        """For an image (H, W, C)."""
        found = super().get_transform(image)
        if not isinstance(found, T.ResizeTransform) or min(found.new_h, found.new_w) > 0:
            return found
        return T.ResizeTransform(
            found.h, found.w, max(1, found.new_h), max(1, found.new_w), found.interp
        )


def never_empty(steps: Iterable[Any]) -> list[Any]:
    """A list of augmentations in which Detectron2's own resize is replaced by the one above."""
    return [_never_empty(step) for step in steps]


def _never_empty(step: Any) -> Any:
    if type(step) is not T.ResizeShortestEdge:
        return step
    style = "range" if step.is_range else "choice"
    return ResizeShortestEdge(step.short_edge_length, step.max_size, style, step.interp)
