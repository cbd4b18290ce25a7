"""The ground truth of a batch and the cells of its feature pyramid, as tensors of one shape.

Images hold different numbers of objects; padding them to the largest number lets assignment and
losses work on the whole batch at once, without a loop over images and without reading a number back
from the device.

Shape shorthand: ``N`` images, ``G`` objects an image after padding (at least 1), ``A`` anchors a
cell, ``Hi, Wi`` height and width of level i in cells, ``R`` boxes an image: the sum of ``Hi*Wi*A``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from detectron2.layers import shapes_to_tensor
from detectron2.structures import ImageList, Instances
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence


@dataclass(frozen=True)
class GroundTruth:
    """Objects of a batch of images.

    Attributes:
        boxes: (N, G, 4) XYXY in pixels of the resized image; zeros where there is no object.
        valid: (N, G) bool, which of them are objects and which are padding.
        classes: (N, G) int64, zeros where there is no object; None if they are not known.
    """

    boxes: Tensor
    valid: Tensor
    classes: Tensor | None = None

    @classmethod
    def from_instances(cls, instances: Sequence[Instances]) -> GroundTruth:
        """Pad the ``gt_boxes`` of every image, and the ``gt_classes`` if all images have them, to
        one shape; G is 1 when no image has an object."""
        boxes = pad_sequence([x.gt_boxes.tensor for x in instances], batch_first=True)
        valid = pad_sequence(
            [x.gt_boxes.tensor.new_ones(len(x), dtype=torch.bool) for x in instances],
            batch_first=True,
        )
        classes = None
        if all(x.has("gt_classes") for x in instances):
            classes = pad_sequence([x.gt_classes for x in instances], batch_first=True)
        if boxes.shape[1] == 0:
            boxes = boxes.new_zeros((len(instances), 1, 4))
            valid = valid.new_zeros((len(instances), 1))
            classes = None if classes is None else classes.new_zeros((len(instances), 1))
        return cls(boxes, valid, classes)

    def parts(self, count: int) -> Iterator[tuple[int, GroundTruth]]:
        """At most ``count`` objects of every image at a time, and the index of their first."""
        for first in range(0, self.boxes.shape[1], count):
            objects = slice(first, first + count)
            classes = None if self.classes is None else self.classes[:, objects]
            yield first, GroundTruth(self.boxes[:, objects], self.valid[:, objects], classes)

    def of(self, index: Tensor) -> Tensor:
        """Boxes (N, K, 4) of the objects with ``index`` (N, K)."""
        return self.boxes.gather(1, index[..., None].expand(-1, -1, 4))

    def classes_of(self, index: Tensor) -> Tensor:
        """Classes (N, K) of the objects with ``index`` (N, K).

        Raises:
            ValueError: if they are not known.
        """
        if self.classes is None:
            raise ValueError("Images need gt_classes beside gt_boxes to learn classes from.")
        return self.classes.gather(1, index)


@dataclass(frozen=True)
class Grid:
    """The cells of one feature level: ``height`` x ``width`` cells, ``stride`` pixels apart."""

    height: int
    width: int
    stride: int

    @property
    def cells(self) -> int:
        return self.height * self.width


def grids_of(maps: Sequence[Tensor], strides: Sequence[int]) -> list[Grid]:
    """The cells of L ``maps`` (N, C, Hi, Wi) with the ``strides`` in pixels."""
    return [
        Grid(x.shape[-2], x.shape[-1], int(stride)) for x, stride in zip(maps, strides, strict=True)
    ]


def image_sizes_of(images: ImageList, device: torch.device) -> Tensor:
    """Heights and widths (N, 2) on the device, without waiting for it; free in a trace."""
    if torch.jit.is_tracing():  # where they are tensors
        return torch.stack([shapes_to_tensor(list(size), device) for size in images.image_sizes])
    return torch.tensor(images.image_sizes).to(device, non_blocking=True)


def valid_cells(
    grids: Sequence[Grid], image_sizes: Tensor, num_anchors: int, size_divisibility: int
) -> Tensor:
    """Which boxes belong to a cell of their image rather than to the padding of the batch.

    An image alone would be padded to a multiple of ``size_divisibility``; the cells of that padded
    image count, those which exist only because a larger image is in the batch do not.

    Args:
        grids: the L levels.
        image_sizes: (N, 2) height and width in pixels, without padding.
        num_anchors: A, boxes per cell.
        size_divisibility: to a multiple of what an image is padded (32 for an FPN).

    Returns:
        (N, R) bool.
    """
    padded = (image_sizes / size_divisibility).ceil() * size_divisibility  # (N, 2)
    levels = []
    for grid in grids:
        rows, columns = (padded / grid.stride).ceil().unbind(-1)  # (N,)
        in_y = torch.arange(grid.height, device=padded.device) < rows[:, None]  # (N, Hi)
        in_x = torch.arange(grid.width, device=padded.device) < columns[:, None]  # (N, Wi)
        inside = in_y[:, :, None] & in_x[:, None, :]  # (N, Hi, Wi)
        levels.append(inside.flatten(1).repeat_interleave(num_anchors, dim=1))
    return torch.cat(levels, dim=1)


def own_cells(
    grids: Sequence[Grid], images: ImageList, size_divisibility: int, device: torch.device
) -> Tensor | None:
    """The cells of the images themselves, as :func:`valid_cells` has them, or None for all cells.

    That there is no other image's padding is known from the sizes, without the device, so that an
    image alone costs nothing. A trace, whose sizes are free, always gets the cells.

    Args:
        grids: the L levels.
        images: the N images.
        size_divisibility: as of :func:`valid_cells`.
        device: where to.

    Returns:
        (N, S) bool, S the sum of ``Hi*Wi``; None if all are true.
    """
    if not (torch.jit.is_tracing() or torch.compiler.is_compiling()):
        all_cells = sum(grid.cells for grid in grids)
        if count_own_cells(grids, images, size_divisibility) == [all_cells] * len(images):
            return None
    return valid_cells(grids, image_sizes_of(images, device), 1, size_divisibility)


def count_own_cells(grids: Sequence[Grid], images: ImageList, size_divisibility: int) -> list[int]:
    """How many cells each of the N images has, those of other images' padding not counted."""

    def cells(size: int, limit: int, stride: int) -> int:
        padded = -(-size // size_divisibility) * size_divisibility
        return min(-(-padded // stride), limit)

    return [
        sum(cells(height, g.height, g.stride) * cells(width, g.width, g.stride) for g in grids)
        for height, width in images.image_sizes
    ]
