"""The boxes that the stages of a point-guided detector learn from, on their way through them.

Between two stages the boxes are refined, except for the objects that were appended to them, which
stay as they are; then the next stage leaves out the boxes that overlap no object well enough. How
many these are only the device knows. So on a GPU they stay in the stream and weigh nothing, which
computes a few boxes too many but makes the host wait for nothing; on a CPU they are really left
out.

Shape shorthand: ``N`` images, ``G`` objects an image (padded), ``R`` boxes of all images, those of
an image next to each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from detectron2.structures import Boxes, Instances
from torch import Tensor

from ...layers import box_iou
from ..ground_truth import GroundTruth


@dataclass(frozen=True)
class BoxStream:
    """Boxes in front of a stage.

    Attributes:
        boxes: (R, 4) XYXY in pixels.
        counts: how many each of the N images has.
        objects: (R, 4) the object that each should become.
        overlap: (R,) IoU with that object.
        active: (R,) bool, which the stage learns from.
        is_object: (R,) bool, which are objects themselves, appended to the boxes.
    """

    boxes: Tensor
    counts: tuple[int, ...]
    objects: Tensor
    overlap: Tensor
    active: Tensor
    is_object: Tensor

    @property
    def image(self) -> Tensor:
        """(R,) int64, the image of every box."""
        return image_of(self.counts, self.boxes.device)

    def per_image(self) -> list[Boxes]:
        """The boxes as poolers take them."""
        return [Boxes(boxes) for boxes in self.boxes.split(self.counts)]

    def take(self, index: Tensor, counts: Sequence[int]) -> BoxStream:
        """The boxes at ``index`` (R'), of which the images have ``counts``."""
        return BoxStream(
            self.boxes[index],
            tuple(counts),
            self.objects[index],
            self.overlap[index],
            self.active[index],
            self.is_object[index],
        )

    def refined(self, boxes: Tensor) -> BoxStream:
        """With the ``boxes`` (R, 4) that a stage has made of them; objects stay what they are.

        What they should become is open until :meth:`matched`.
        """
        return replace(self, boxes=torch.where(self.is_object[:, None], self.boxes, boxes))

    def with_objects(self, targets: Sequence[Instances]) -> BoxStream:
        """With all objects of every image, once, behind its boxes.

        Args:
            targets: N images with ``gt_boxes``.
        """
        objects = [x.gt_boxes.tensor for x in targets]
        boxes, active, is_object = [], [], []
        for own, learns, was_object, added in zip(
            self.boxes.split(self.counts),
            self.active.split(self.counts),
            self.is_object.split(self.counts),
            objects,
            strict=True,
        ):
            ones = torch.ones(len(added), dtype=torch.bool, device=added.device)
            boxes.append(torch.cat((own, added.to(own))))
            active.append(torch.cat((learns & ~was_object, ones)))
            is_object.append(torch.cat((was_object, ones)))
        every = torch.cat(boxes)
        return BoxStream(
            every,
            tuple(n + len(added) for n, added in zip(self.counts, objects, strict=True)),
            torch.zeros_like(every),
            every.new_zeros(len(every)),
            torch.cat(active),
            torch.cat(is_object),
        )

    def matched(self, truth: GroundTruth, min_iou: float) -> BoxStream:
        """Every box with the object it overlaps most; active are those that reach ``min_iou``.

        A box that has been left out before stays out (the selector S of CPM R-CNN, equation 1).
        """
        image = self.image
        index, overlap = match(self.boxes, image, truth)
        return replace(
            self,
            objects=truth.boxes[image, index],
            overlap=overlap,
            active=self.active & (overlap >= min_iou),
        )._compact()

    def _compact(self) -> BoxStream:
        """Without the boxes that are not active, where counting them makes nobody wait."""
        if self.boxes.device.type != "cpu":
            return self
        counts = [int(active.sum()) for active in self.active.split(self.counts)]
        return self.take(self.active.nonzero()[:, 0], counts)


def image_of(counts: Sequence[int], device: torch.device) -> Tensor:
    """(R,) int64, the image of every box when the images have ``counts`` of them."""
    return torch.cat(
        [torch.full((n,), i, dtype=torch.int64, device=device) for i, n in enumerate(counts)]
    )


def counts_of(boxes: Sequence[Boxes]) -> list[int]:
    """How many ``boxes`` each image has.

    As ``len()`` says, which a trace would take for the same in every image: while Detectron2 traces
    a model for export these are tensors.
    """
    return [x.tensor.shape[0] for x in boxes]


def clip_to_images(
    boxes: Tensor, counts: Sequence[int], image_sizes: Sequence[tuple[int, int]]
) -> Tensor:
    """Boxes (R, 4) clipped to their images, without waiting for the device as ``Boxes.clip`` does.

    Args:
        boxes: (R, 4).
        counts: how many each of the N images has.
        image_sizes: (height, width) of the N images.
    """
    clipped = []
    for own, (height, width) in zip(boxes.split(list(counts)), image_sizes, strict=True):
        x, y = own[:, 0::2].clamp(min=0, max=width), own[:, 1::2].clamp(min=0, max=height)
        clipped.append(torch.stack((x, y), dim=2).flatten(1))
    return torch.cat(clipped)


def match(boxes: Tensor, image: Tensor, truth: GroundTruth) -> tuple[Tensor, Tensor]:
    """The object that every box overlaps most.

    Args:
        boxes: (R, 4).
        image: (R,) their images.
        truth: the objects of N images.

    Returns:
        index: (R,) int64 of the object in its image, 0 where that has none.
        overlap: (R,) IoU, 0 in an image without objects.
    """
    # Padding has no area, and overlaps nothing.
    overlap, index = box_iou(boxes[:, None], truth.boxes[image]).max(dim=1)  # (R, G) -> (R,)
    return index, overlap


def positives_of(
    samples: Sequence[Instances],
    num_classes: int,
    *,
    max_per_image: int | None = None,
) -> BoxStream:
    """The boxes in front of the first stage: positives of the sample that classification learns.

    Listing them makes the host wait, as Detectron2's sampling has before.

    Args:
        samples: N images of Detectron2's ``label_and_sample_proposals``, whose positives come in
            random order, with ``is_object`` beside the other fields.
        num_classes: K; positives have a ``gt_classes`` below.
        max_per_image: how many are taken of an image at most.
    """
    boxes, objects, is_object = [], [], []
    for image in samples:
        positives = (image.gt_classes < num_classes).nonzero()[:, 0][:max_per_image]
        boxes.append(image.proposal_boxes.tensor[positives])
        # An image without objects has no gt_boxes, and no positives.
        matched = image.gt_boxes.tensor[positives] if image.has("gt_boxes") else boxes[-1]
        objects.append(matched)
        is_object.append(image.is_object[positives])
    every, target = torch.cat(boxes), torch.cat(objects)
    return BoxStream(
        every,
        tuple(map(len, boxes)),
        target,
        box_iou(every, target),
        torch.ones(len(every), dtype=torch.bool, device=every.device),
        torch.cat(is_object),
    )


def jitter_boxes(
    stream: BoxStream, amplitude: float, image_sizes: Sequence[tuple[int, int]]
) -> BoxStream:
    """Moved and resized at random, so that a stage sees less perfect boxes (Grid R-CNN Plus).

    The centre moves by up to ``amplitude`` of the sides, and the sides change by up to as much; all
    four are uniform. Boxes are clipped to their images and keep the object they should become.
    Objects among them are no more what they were, and are refined like other boxes.

    Args:
        stream: the boxes in front of the first stage.
        amplitude: 0.15 in Grid R-CNN.
        image_sizes: (height, width) of the N images.
    """
    x1, y1, x2, y2 = stream.boxes.unbind(1)
    shift = torch.empty_like(stream.boxes).uniform_(-amplitude, amplitude)
    size = torch.stack((x2 - x1, y2 - y1), dim=1)
    center = torch.stack((x1 + x2, y1 + y2), dim=1) / 2 + shift[:, :2] * size
    half = size * (1 + shift[:, 2:]) / 2
    moved = torch.cat((center - half, center + half), dim=1)
    boxes = clip_to_images(moved, stream.counts, image_sizes)
    return replace(
        stream,
        boxes=boxes,
        overlap=box_iou(boxes, stream.objects),
        is_object=torch.zeros_like(stream.is_object),
    )
