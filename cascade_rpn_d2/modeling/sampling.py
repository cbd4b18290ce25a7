"""Which of the assigned boxes enter the losses of a stage, and what the losses are divided by.

A sampler returns positions of a fixed number, with a label each: nothing is counted on the host, so
a training step never waits for the device. This is why Detectron2's ``subsample_labels``, which
lists the positives of one image at a time, is not used; the distribution is the same.

Shape shorthand: ``N`` images, ``R`` boxes an image, ``K`` places for samples an image.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from .assignment import IGNORED, NEGATIVE, POSITIVE


@dataclass(frozen=True)
class Samples:
    """The boxes that enter the losses.

    Attributes:
        index: (N, K) int64, their positions among the R boxes; None means all, in order (K = R).
        labels: (N, K) int8: 1 positive, 0 negative, -1 not a sample.
        normalizer: scalar tensor, what the sums of the losses are divided by.
    """

    index: Tensor | None
    labels: Tensor
    normalizer: Tensor

    def take(self, values: Tensor) -> Tensor:
        """The samples' share (N, K, ...) of ``values`` (N, R, ...)."""
        if self.index is None:
            return values
        index = self.index
        if values.dim() == 3:
            index = index[..., None].expand(-1, -1, values.shape[2])
        return values.gather(1, index)


class Sampler(Protocol):
    """What a stage expects of a sampler."""

    def __call__(self, labels: Tensor) -> Samples:
        """Choose among the boxes with ``labels`` (N, R)."""


class AllSampler:
    """Every positive and every negative box; losses are divided by a share of all boxes.

    This is how the anchor-free stage is trained: the number of objects does not enter the
    normaliser, so crowded images weigh more.

    Args:
        boxes_per_unit: the normaliser is the number of boxes in the batch, ignored ones and padding
            included, divided by this (200 in the released code, inherited from Guided Anchoring).
    """

    def __init__(self, boxes_per_unit: float = 200.0):
        self.boxes_per_unit = boxes_per_unit

    def __call__(self, labels: Tensor) -> Samples:
        """See :class:`Sampler`."""
        normalizer = torch.full((), labels.numel() / self.boxes_per_unit, device=labels.device)
        return Samples(None, labels, normalizer)


class DenseSampler:
    """Every positive and every negative box; losses are divided by the number of positives.

    This is how detectors with a focal loss are trained (RetinaNet, section 4.1), which need no
    sample, as easy negatives weigh next to nothing. An image without positives counts as one with
    one (as the reference implementation counts them).
    """

    def __call__(self, labels: Tensor) -> Samples:
        """See :class:`Sampler`."""
        positives = (labels == POSITIVE).sum(dim=1)  # (N,)
        return Samples(None, labels, positives.clamp(min=1).sum().float())


class RandomSampler:
    """A random choice of a fixed size from every image, with a bound on the share of positives.

    The losses are divided by the number of samples, an image without positives counting one more
    (as the reference implementation counts them).

    Args:
        batch_size_per_image: number of boxes taken from an image, as far as it has them.
        positive_fraction: at most this share of them is positive; negatives fill the rest.
    """

    def __init__(self, batch_size_per_image: int = 256, positive_fraction: float = 0.5):
        if batch_size_per_image < 1 or not 0 < positive_fraction <= 1:
            raise ValueError(
                "A sampler takes at least 1 box an image and a positive_fraction in (0, 1], not "
                f"batch_size_per_image={batch_size_per_image}, "
                f"positive_fraction={positive_fraction}."
            )
        self.batch_size_per_image = batch_size_per_image
        self.positive_fraction = positive_fraction

    def __call__(self, labels: Tensor) -> Samples:
        """See :class:`Sampler`."""
        max_positives = int(self.batch_size_per_image * self.positive_fraction)
        positives, is_positive = _choose(labels == POSITIVE, max_positives)
        num_positives = is_positive.sum(dim=1, keepdim=True)  # (N, 1)
        negatives, is_negative = _choose(labels == NEGATIVE, self.batch_size_per_image)
        place = torch.arange(negatives.shape[1], device=labels.device)
        is_negative &= place < self.batch_size_per_image - num_positives

        index = torch.cat((positives, negatives), dim=1)  # (N, K)
        sampled = torch.full_like(index, IGNORED, dtype=torch.int8)
        sampled.masked_fill_(torch.cat((is_positive, torch.zeros_like(is_negative)), 1), POSITIVE)
        sampled.masked_fill_(torch.cat((torch.zeros_like(is_positive), is_negative), 1), NEGATIVE)
        count = num_positives.clamp(min=1) + is_negative.sum(dim=1, keepdim=True).clamp(min=1)
        return Samples(index, sampled, count.sum().float())


def _choose(candidates: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Up to ``count`` random positions an image where ``candidates`` (N, R) is true.

    Returns:
        (N, k) positions, with k at most ``count`` and R, and (N, k) bool which of them are true:
        the true ones come first.
    """
    # Ties of the random keys only matter for which of two boxes is taken, never for the mask.
    keys = torch.rand(candidates.shape, device=candidates.device).masked_fill_(~candidates, -1.0)
    keys, index = keys.topk(min(count, candidates.shape[1]), dim=1)
    return index, keys >= 0
