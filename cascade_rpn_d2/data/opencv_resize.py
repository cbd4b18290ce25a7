"""Resizing as codes did with OpenCV: bilinear from four pixels, without smoothing first.

Detectron2 resizes with Pillow, which smooths what it makes smaller. A detector that was trained on
the one sees slightly other pixels with the other.
"""

from __future__ import annotations

import sys

import cv2
import numpy as np
import numpy.typing as npt
from detectron2.data import transforms as T
from PIL import Image


class OpenCVResizeTransform(T.ResizeTransform):
    """Scale an image by a factor, in OpenCV's way; coordinates change as Detectron2 has it.

    Args:
        h, w: size of the image.
        scale: the factor. The new size is rounded, to one pixel at least; pixels are taken by the
            factor itself in floating point, by the ratio of the sizes otherwise.
        in_float: whether pixels become float32 first, and stay it.
    """

    def __init__(self, h: int, w: int, scale: float, *, in_float: bool):
        super().__init__(h, w, max(1, round(h * scale)), max(1, round(w * scale)))
        self.scale = scale
        self.in_float = in_float

    def apply_image(
        self, img: npt.NDArray[np.generic], interp: int | None = None
    ) -> npt.NDArray[np.generic]:
        """(H, W, C) -> (H', W', C); with another ``interp`` as Detectron2 does."""
        if interp not in (None, Image.Resampling.BILINEAR):
            return super().apply_image(img, interp)
        if not self.in_float:
            return cv2.resize(img, (self.new_w, self.new_h))
        pixels = img.astype(np.float32)
        if min(self.h, self.w) * self.scale < 0.5:  # of which OpenCV makes no pixel
            return cv2.resize(pixels, (self.new_w, self.new_h))
        return cv2.resize(pixels, None, fx=self.scale, fy=self.scale)


class OpenCVResizeShortestEdge(T.Augmentation):
    """Detectron2's ``ResizeShortestEdge`` to one size, in OpenCV's way.

    Args:
        short_edge_length: pixels of the shorter edge.
        max_size: pixels that the longer edge may have.
        in_float: whether pixels are float32 when they are resized and afterwards, as in CPM R-CNN,
            or stay whole numbers, as in mmdet and Grid R-CNN Plus.
    """

    def __init__(
        self, short_edge_length: int, max_size: int = sys.maxsize, *, in_float: bool = True
    ):
        super().__init__()
        self.short_edge_length = short_edge_length
        self.max_size = max_size
        self.in_float = in_float

    def get_transform(self, image: npt.NDArray[np.generic]) -> OpenCVResizeTransform:
        """For an image (H, W, C)."""
        height, width = image.shape[:2]
        scale = self.short_edge_length / min(height, width)
        if round(scale * max(height, width)) > self.max_size:
            scale = self.max_size / max(height, width)
        return OpenCVResizeTransform(height, width, scale, in_float=self.in_float)
