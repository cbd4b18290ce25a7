"""CPM R-CNN's heads: point-guided boxes in stages, with scores that know where the boxes ended.

Shape shorthand: ``N`` images, ``R`` boxes of all images, ``K`` classes without the background.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import torch
from detectron2.config import CfgNode, configurable
from detectron2.layers import ShapeSpec
from detectron2.modeling.roi_heads import ROI_HEADS_REGISTRY
from detectron2.structures import Boxes, Instances
from torch import Tensor

from ..ground_truth import GroundTruth
from .box_stream import BoxStream, match
from .grid_head import GridPrediction
from .grid_rcnn import GridROIHeads, GridStep
from .grid_yacs import scores_from_config
from .scoring import IoUScoring, ResamplingScoring, fuse_scores

LearntFrom = Literal["input", "output"]


@ROI_HEADS_REGISTRY.register()
class CPMROIHeads(GridROIHeads):
    """Point-guided boxes with fused scores (CPM R-CNN).

    The stages are the cascade mapping module (section 3.2). After the last one, two modules say how
    good a refined box is, and the score of the proposal is fused with theirs (section 3.3). Each of
    the three can be had without the others.

    The losses are those of :class:`GridROIHeads`, ``loss_ism`` and ``loss_rsm``.

    Where paper and released code differ, the defaults follow the code, which the published numbers
    are from.

    Args:
        iou_scoring: ISM, on the features of the last stage's trunk; None for none.
        iou_target: the boxes whose IoU it learns: ``"input"``, those in front of the last stage, as
            released, or ``"output"``, those the last stage makes, whose score it is at test.
        resampling_scoring: RSM, on features pooled from the final boxes; None for none.
        resampling_positives: the boxes it learns from besides the background of the first
            classification: ``"input"``, those in front of the last stage, as released, or
            ``"output"``, those the last stage makes, as in the paper (section 3.3.2).
        score_gamma: gamma of equation 4; 0.8 is the best of Figure 7.
        max_grid_rois_per_image, max_grid_rois_per_batch, jitter: see :class:`GridROIHeads`.
        kwargs: further ones of :class:`GridROIHeads`.

    Raises:
        ValueError: if a value is not among those named, or gamma not in [0, 1].
    """

    @configurable
    def __init__(
        self,
        *,
        iou_scoring: IoUScoring | None = None,
        iou_target: LearntFrom = "input",
        resampling_scoring: ResamplingScoring | None = None,
        resampling_positives: LearntFrom = "input",
        score_gamma: float = 0.8,
        max_grid_rois_per_image: int | None = 96,
        max_grid_rois_per_batch: int | None = None,
        jitter: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            max_grid_rois_per_image=max_grid_rois_per_image,
            max_grid_rois_per_batch=max_grid_rois_per_batch,
            jitter=jitter,
            **kwargs,
        )
        for name, value in (
            ("iou_target", iou_target),
            ("resampling_positives", resampling_positives),
        ):
            if value not in get_args(LearntFrom):
                raise ValueError(f"{name} is 'input' or 'output', not {value!r}.")
        if not 0 <= score_gamma <= 1:
            raise ValueError(
                f"score_gamma is a share of the score, between 0 and 1, not {score_gamma}."
            )
        self.iou_scoring = iou_scoring
        self.iou_target = iou_target
        self.resampling_scoring = resampling_scoring
        self.resampling_positives = resampling_positives
        self.score_gamma = score_gamma

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: dict[str, ShapeSpec]) -> dict[str, Any]:
        """Arguments of ``__init__`` from a config with the keys of ``add_cascade_rpn_config``."""
        arguments = super().from_config(cfg, input_shape)
        last = arguments["grid_stages"][-1]
        return arguments | scores_from_config(cfg, input_shape, last.head.output_shape)

    def _score_losses(
        self,
        maps: list[Tensor],
        samples: list[Instances],
        truth: GroundTruth,
        stream: BoxStream,
        prediction: GridPrediction,
    ) -> dict[str, Tensor]:
        """``loss_ism`` and ``loss_rsm``, as far as there are these modules."""
        losses = {}
        refined = self._stages()[-1].refine(prediction, stream.boxes)
        if self.iou_scoring is not None:
            overlap = stream.overlap
            if self.iou_target == "output":
                _, overlap = match(refined, stream.image, truth)
            losses["loss_ism"] = self.iou_scoring.loss(
                self.iou_scoring(prediction.features), overlap, stream.active
            )
        if self.resampling_scoring is not None:
            boxes = stream.boxes
            if self.resampling_positives == "output":
                boxes = stream.refined(refined).boxes  # objects stay objects
            chosen, classes = self.resampling_scoring.sample(
                samples, boxes.split(stream.counts), stream.active.split(stream.counts), truth
            )
            logits = self.resampling_scoring(self.box_pooler(maps, chosen))
            losses["loss_rsm"] = self.resampling_scoring.loss(logits, classes)
        return losses

    def _scores(
        self,
        maps: list[Tensor],
        detections: list[Instances],
        refined: list[Boxes],
        step: GridStep,
    ) -> list[Tensor]:
        """Fused scores of the refined boxes of N images (equation 4).

        ISM sits on the last stage, so that it has no say where an earlier one is tested.
        """
        iou = resampled = None
        if self.iou_scoring is not None and self.test_stage == len(self.grid_stages):
            iou = self.iou_scoring.scores(self.iou_scoring(step.prediction.features))
        if self.resampling_scoring is not None:
            logits = self.resampling_scoring(self.box_pooler(maps, refined))
            classes = torch.cat([x.pred_classes for x in detections])
            resampled = self.resampling_scoring.scores(logits, classes)
        score = torch.cat([x.scores for x in detections])
        fused = fuse_scores(score, iou, resampled, self.score_gamma)
        return list(fused.split([len(x) for x in detections]))
