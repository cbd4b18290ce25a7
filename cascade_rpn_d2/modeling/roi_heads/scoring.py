"""How good is a box, after it has been refined? The scores of CPM R-CNN (section 3.3).

Shape shorthand: ``N`` images, ``Ri`` boxes of image i and ``R`` of all images, ``K`` classes
without the background.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, cast, get_args

import fvcore.nn.weight_init as weight_init
import torch
import torch.nn.functional as F
from detectron2.layers import ShapeSpec
from detectron2.structures import Boxes, Instances
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from ..assignment import IGNORED, NEGATIVE, POSITIVE
from ..ground_truth import GroundTruth
from ..sampling import RandomSampler
from .box_stream import image_of, match
from .grid_stage import mean_of_active

IoULossKind = Literal["l1", "smooth_l1", "l2"]

# A learnt IoU is any number; a power of a negative one would be no number at all.
MIN_SCORE = 1e-6


class IoUScoring(nn.Module):
    """Learns the IoU of a box from features that saw it: ISM (CPM R-CNN, section 3.3.1).

    Fully connected layers with two outputs, ``1 - IoU`` and IoU. Both are regressed; "classes" as
    the paper calls them, they are not made to sum to one, and only the second is a score.

    Args:
        input_shape: of the features of a box.
        loss: ``"l2"``, the best of Table 6, is half the squared error. (The released code gives the
            first two boxes of a batch most of the weight, by an error in indexing.) ``"l1"`` is the
            absolute error; ``"smooth_l1"`` is quadratic below ``beta`` and linear above. Errors of
            both outputs add up; the loss is a mean over boxes.
        beta: of the smooth L1. The paper gives none; with 1 it would be the L2 loss for all errors
            below 1, so that this is Faster R-CNN's.
        loss_weight: 1 in the released models; on Cascade R-CNN 1.5 without resampling.
        fc_dims: widths of the hidden layers.

    Raises:
        ValueError: if ``loss`` is unknown.
    """

    def __init__(
        self,
        input_shape: ShapeSpec,
        *,
        loss: IoULossKind = "l2",
        beta: float = 1 / 9,
        loss_weight: float = 1.0,
        fc_dims: Sequence[int] = (1024, 1024),
    ):
        super().__init__()
        if loss not in get_args(IoULossKind):
            raise ValueError(f"The loss of IoU scoring is 'l1', 'smooth_l1' or 'l2', not {loss!r}.")
        self.kind = loss
        self.beta = beta
        self.loss_weight = loss_weight
        channels = input_shape.channels or 0
        width = channels * (input_shape.height or 1) * (input_shape.width or 1)
        self.fcs = nn.ModuleList()
        for dim in fc_dims:
            self.fcs.append(nn.Linear(width, dim))
            weight_init.c2_xavier_fill(self.fcs[-1])
            width = dim
        self.iou_pred = nn.Linear(width, 2)
        nn.init.normal_(self.iou_pred.weight, std=0.01)
        nn.init.zeros_(self.iou_pred.bias)

    def forward(self, features: Tensor) -> Tensor:
        """Features (R, ...) -> (R, 2), ``1 - IoU`` and IoU as predicted; R may be 0."""
        features = features.flatten(1)
        for layer in self.fcs:
            features = F.relu(layer(features))
        return self.iou_pred(features)

    def loss(self, prediction: Tensor, overlap: Tensor, active: Tensor) -> Tensor:
        """Scalar, weighted.

        Args:
            prediction: (R, 2).
            overlap: (R,) IoU of the boxes with their objects.
            active: (R,) bool, which boxes are learnt from; 0 is the loss of none.
        """
        target = torch.stack((1 - overlap, overlap), dim=1).float()
        prediction = prediction.float()
        if self.kind == "l2":
            error = 0.5 * F.mse_loss(prediction, target, reduction="none")
        elif self.kind == "l1":
            error = F.l1_loss(prediction, target, reduction="none")
        else:
            error = F.smooth_l1_loss(prediction, target, beta=self.beta, reduction="none")
        return self.loss_weight * mean_of_active(error.sum(dim=1), active)

    @staticmethod
    def scores(prediction: Tensor) -> Tensor:
        """The IoU (R,) in ``prediction`` (R, 2), kept in (0, 1]."""
        return prediction[:, 1].float().clamp(MIN_SCORE, 1)


class ResamplingScoring(nn.Module):
    """Classifies boxes where they are in the end: RSM (CPM R-CNN, section 3.3.2).

    A second classifier, which shares no layer with the first one. It learns from the first one's
    background and from the boxes that the stages have made, labelled and sampled anew.

    Args:
        head: box head on pooled features, such as ``FastRCNNConvFCHead``.
        num_classes: K.
        batch_size_per_image: boxes that are sampled of an image.
        positive_fraction: at most this share of them is positive.
        min_iou: of positives.
        loss_weight: 1 in the released models; 0.2 on Cascade R-CNN.
    """

    def __init__(
        self,
        head: nn.Module,
        *,
        num_classes: int,
        batch_size_per_image: int = 512,
        positive_fraction: float = 0.25,
        min_iou: float = 0.5,
        loss_weight: float = 1.0,
    ):
        super().__init__()
        self.head = head
        self.num_classes = num_classes
        self.min_iou = min_iou
        self.loss_weight = loss_weight
        self.sampler = RandomSampler(batch_size_per_image, positive_fraction)
        self.cls_score = nn.Linear(cast(ShapeSpec, head.output_shape).channels, num_classes + 1)
        nn.init.normal_(self.cls_score.weight, std=0.01)
        nn.init.zeros_(self.cls_score.bias)

    def forward(self, pooled: Tensor) -> Tensor:
        """Pooled features (R, C, Hp, Wp) -> (R, K + 1) logits, the background last; R may be 0."""
        return self.cls_score(self.head(pooled))

    @torch.no_grad()
    def sample(
        self,
        samples: Sequence[Instances],
        boxes: Sequence[Tensor],
        active: Sequence[Tensor],
        truth: GroundTruth,
    ) -> tuple[list[Boxes], Tensor]:
        """Label boxes anew and choose those that are learnt from.

        Args:
            samples: N images with ``proposal_boxes`` and ``gt_classes``. Those of the background
                may be chosen.
            boxes: of N images (Ri, 4), what the stages have made.
            active: of N images (Ri,) bool, which of ``boxes`` may be chosen.
            truth: the objects of N images, with classes.

        Returns:
            boxes: of N images.
            classes: (R',) int64 of all of them, K for background, -1 for boxes that are not
                learnt from: on a GPU each image has the same number, so that nothing waits.
        """
        counts, candidates, eligible = [], [], []
        for sample, own, learns in zip(samples, boxes, active, strict=True):
            counts.append(len(sample) + len(own))
            candidates += [sample.proposal_boxes.tensor, own]
            eligible += [sample.gt_classes == self.num_classes, learns]
        every = torch.cat(candidates)
        index, overlap = match(every, image_of(counts, every.device), truth)
        labels = torch.where(overlap >= self.min_iou, POSITIVE, NEGATIVE)
        labels = labels.masked_fill(~torch.cat(eligible), IGNORED).to(torch.int8)
        drawn = self.sampler(
            pad_sequence(labels.split(counts), batch_first=True, padding_value=IGNORED)
        )
        chosen = drawn.take(pad_sequence(every.split(counts), batch_first=True))  # (N, K', 4)
        matched = drawn.take(pad_sequence(index.split(counts), batch_first=True))  # (N, K')
        classes = truth.classes_of(matched)
        classes = classes.masked_fill(drawn.labels != POSITIVE, self.num_classes)
        classes = classes.masked_fill(drawn.labels == IGNORED, -1)
        if chosen.device.type != "cpu":
            return [Boxes(x) for x in chosen], classes.flatten()
        learnt = classes >= 0
        return [Boxes(x[keep]) for x, keep in zip(chosen, learnt, strict=True)], classes[learnt]

    def loss(self, logits: Tensor, classes: Tensor) -> Tensor:
        """Cross entropy, a mean over the boxes that are learnt from; scalar, weighted.

        Args:
            logits: (R', K + 1).
            classes: (R',) as of :meth:`sample`.
        """
        per_box = F.cross_entropy(logits.float(), classes, ignore_index=-1, reduction="none")
        return self.loss_weight * mean_of_active(per_box, classes >= 0)

    @staticmethod
    def scores(logits: Tensor, classes: Tensor) -> Tensor:
        """Probability (R,) of the given ``classes`` (R,) by ``logits`` (R, K + 1)."""
        return F.softmax(logits.float(), dim=1).gather(1, classes[:, None])[:, 0]


def fuse_scores(
    score: Tensor, iou: Tensor | None = None, resampled: Tensor | None = None, gamma: float = 0.8
) -> Tensor:
    """The fused score of CPM R-CNN: ``(score * iou)**gamma * resampled**(1 - gamma)`` (equation 4).

    Without resampling it is ``score * iou``, as released, and a missing ``iou`` is 1.

    Args:
        score: (R,) of the first classification.
        iou: (R,) of :class:`IoUScoring`.
        resampled: (R,) of :class:`ResamplingScoring`.
        gamma: exponent of the first two, in [0, 1].

    Returns:
        (R,)
    """
    if iou is not None:
        score = score * iou.clamp(MIN_SCORE, 1)
    if resampled is None:
        return score
    return score**gamma * resampled ** (1 - gamma)


class ScoreParts(NamedTuple):
    """What the scores of boxes are made of.

    Attributes:
        score: (R,) of the first classification.
        iou: (R,) of :class:`IoUScoring`, or None.
        resampled: (R,) of :class:`ResamplingScoring`, or None.
        gamma: of :func:`fuse_scores`.
    """

    score: Tensor
    iou: Tensor | None = None
    resampled: Tensor | None = None
    gamma: float = 0.8

    @property
    def fused(self) -> Tensor:
        """The score (R,) that detections are ranked by."""
        return fuse_scores(*self)
