"""Cascade R-CNN with the scores of CPM R-CNN.

Shape shorthand: ``N`` images, ``Ri`` boxes of image i and ``R`` of all images, ``K`` classes
without the background.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from detectron2.config import CfgNode, configurable
from detectron2.layers import ShapeSpec
from detectron2.modeling.roi_heads import ROI_HEADS_REGISTRY
from detectron2.structures import Boxes, Instances
from torch import Tensor

from ..ground_truth import GroundTruth
from .box_stream import BoxStream, clip_to_images, counts_of, image_of, match
from .cascade_rcnn import CascadeStep, ResamplingCascadeROIHeads
from .fused_scoring import FusedScoring
from .grid_yacs import scores_from_config


@ROI_HEADS_REGISTRY.register()
class ScoredCascadeROIHeads(FusedScoring, ResamplingCascadeROIHeads):
    """Cascade R-CNN with fused scores (CPM R-CNN, Table 3).

    The losses are those of :class:`ResamplingCascadeROIHeads`, ``loss_ism`` and ``loss_rsm``. The
    layers of the stages have the names of Detectron2's ``CascadeROIHeads``.

    * ISM reads what the last stage's box head saw. It learns the IoU of the positives among the
      boxes that this stage is trained on, objects included: as in CPM R-CNN, it tells how good a
      box is, not whether there is an object. At test it multiplies the probabilities of the stages
      before boxes are dropped for their scores and suppressed, so that the better placed of two
      boxes stays.
    * RSM learns from the background of the first stage and from all boxes of the last one, labelled
      and sampled anew. At test it looks at the detections, and its share of equation 4 is put to
      their scores; none is dropped for it.

    This is what the released code means to do. There, predicted and true IoU are those of different
    boxes (predictions of the sampled ones, targets of the positives among all), and the evaluation
    returns before RSM is asked.

    Args:
        stage_loss_weights: one weight a stage, on both of its losses.
        kwargs: those of :class:`FusedScoring`, and further ones of
            :class:`ResamplingCascadeROIHeads`.
    """

    @configurable
    def __init__(self, *, stage_loss_weights: Sequence[float] = (1.0, 0.5), **kwargs: Any) -> None:
        super().__init__(stage_loss_weights=stage_loss_weights, **kwargs)

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: dict[str, ShapeSpec]) -> dict[str, Any]:
        """Arguments of ``__init__`` from a config with the keys of ``add_cascade_rpn_config``.

        Raises:
            ValueError: as of :class:`ResamplingCascadeROIHeads`.
        """
        arguments = super().from_config(cfg, input_shape)
        last = arguments["box_heads"][-1]
        return arguments | scores_from_config(cfg, input_shape, last.output_shape)

    def _score_losses(
        self, maps: list[Tensor], steps: list[CascadeStep], targets: list[Instances]
    ) -> dict[str, Tensor]:
        """``loss_ism`` and ``loss_rsm``, as far as there are these modules."""
        truth = GroundTruth.from_instances(targets)
        stream = self._stream(steps[-1].proposals, truth)
        refined = self._refined(steps[-1])
        losses = self._iou_losses(steps[-1].features, stream, refined, truth)
        everything = replace(stream, active=torch.ones_like(stream.active))
        return losses | self._resampling_losses(
            maps, steps[0].proposals, everything, refined, truth
        )

    @torch.no_grad()
    def _stream(self, samples: list[Instances], truth: GroundTruth) -> BoxStream:
        """All samples of a stage, row by row; the positives are active."""
        counts = tuple(map(len, samples))
        boxes = Boxes.cat([x.proposal_boxes for x in samples]).tensor
        image = image_of(counts, boxes.device)
        index, overlap = match(boxes, image, truth)
        return BoxStream(
            boxes,
            counts,
            objects=truth.boxes[image, index],
            overlap=overlap,
            active=torch.cat([x.gt_classes for x in samples]) < self.num_classes,
            is_object=torch.cat([x.is_object for x in samples]),
        )

    @torch.no_grad()
    def _refined(self, step: CascadeStep) -> Tensor:
        """What the last stage makes of its boxes (R, 4), clipped as detections are."""
        boxes = self.box_predictor[-1].predict_boxes(step.prediction, step.proposals)
        sizes = [x.image_size for x in step.proposals]
        return clip_to_images(torch.cat(boxes), [len(x) for x in boxes], sizes)

    def _scores(self, steps: list[CascadeStep]) -> list[Tensor]:
        """Of N images (Ri, K + 1) probabilities times the IoU that ISM expects of the box."""
        scores = super()._scores(steps)
        iou = self._iou_scores(steps[-1].features)
        if iou is None:
            return scores
        factors = iou[:, None].split([x.shape[0] for x in scores])
        return [score * factor for score, factor in zip(scores, factors, strict=True)]

    def _detect(self, maps: list[Tensor], steps: list[CascadeStep]) -> list[Instances]:
        """Detections with fused scores, the best first."""
        detections = super()._detect(maps, steps)
        boxes = [x.pred_boxes for x in detections]
        fused = self._score_parts(maps, detections, boxes).fused
        for image, scores in zip(detections, fused.split(counts_of(boxes)), strict=True):
            image.scores = scores
        return [x[x.scores.argsort(descending=True, stable=True)] for x in detections]
