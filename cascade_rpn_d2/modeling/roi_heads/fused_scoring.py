"""Heads whose final scores know where the boxes ended, whatever it is that moves the boxes.

Shape shorthand: ``N`` images, ``R`` boxes of all images, ``K`` classes without the background.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

import torch
from detectron2.modeling.poolers import ROIPooler
from detectron2.structures import Boxes, Instances
from torch import Tensor

from ..ground_truth import GroundTruth
from .box_stream import BoxStream, match
from .scoring import IoUScoring, ResamplingScoring, ScoreParts

LearntFrom = Literal["input", "output"]


class FusedScoring:
    """What ROI heads with fused scores have in common (CPM R-CNN, section 3.3).

    A base class to name in front of the heads that find the boxes, whose ``box_pooler`` it uses.
    Either module can be had without the other.

    Args:
        iou_scoring: ISM, on the features of the last stage; None for none.
        iou_target: the boxes whose IoU it learns: ``"input"``, those in front of the last stage, as
            released, or ``"output"``, those the last stage makes, whose score it is at test.
        iou_from_objects: whether ISM learns from the objects among these boxes too, as released.
            Their IoU is 1, or nearly so behind the last stage, and an object that no other box has
            found is learnt from in no other way: in a short training the harder an object is, the
            higher its score. False leaves them out.
        resampling_scoring: RSM, on features pooled from the final boxes; None for none.
        resampling_positives: the boxes it learns from besides the background of the first
            classification: ``"input"``, those in front of the last stage, as released, or
            ``"output"``, those the last stage makes, as in the paper (section 3.3.2).
        score_gamma: gamma of equation 4; 0.8 is the best of Figure 7. None leaves boxes the score
            of their class, whatever else is learnt.
        kwargs: those of the heads that find the boxes.

    Raises:
        ValueError: if a value is not among those named, or gamma not in [0, 1].
    """

    box_pooler: ROIPooler

    def __init__(
        self,
        *,
        iou_scoring: IoUScoring | None = None,
        iou_target: LearntFrom = "input",
        iou_from_objects: bool = True,
        resampling_scoring: ResamplingScoring | None = None,
        resampling_positives: LearntFrom = "input",
        score_gamma: float | None = 0.8,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        for name, value in (
            ("iou_target", iou_target),
            ("resampling_positives", resampling_positives),
        ):
            if value not in get_args(LearntFrom):
                raise ValueError(f"{name} is 'input' or 'output', not {value!r}.")
        if score_gamma is not None and not 0 <= score_gamma <= 1:
            raise ValueError(
                f"score_gamma is a share of the score, between 0 and 1, not {score_gamma}."
            )
        self.iou_scoring = iou_scoring
        self.iou_target = iou_target
        self.iou_from_objects = iou_from_objects
        self.resampling_scoring = resampling_scoring
        self.resampling_positives = resampling_positives
        self.score_gamma = score_gamma

    def _iou_losses(
        self, features: Tensor, stream: BoxStream, refined: Tensor, truth: GroundTruth
    ) -> dict[str, Tensor]:
        """``loss_ism``, if there is ISM.

        Args:
            features: (R, ...) that the last stage saw in the boxes of ``stream``, row by row.
            stream: the boxes in front of the last stage; the active ones are learnt from, objects
                among them only with ``iou_from_objects``.
            refined: (R, 4) what the last stage has made of them, objects among them included.
            truth: the objects of N images.
        """
        if self.iou_scoring is None:
            return {}
        overlap = stream.overlap
        if self.iou_target == "output":
            _, overlap = match(refined, stream.image, truth)
        active = stream.active
        if not self.iou_from_objects:
            active = active & ~stream.is_object
        prediction = self.iou_scoring(features)
        return {"loss_ism": self.iou_scoring.loss(prediction, overlap, active)}

    def _resampling_losses(
        self,
        maps: list[Tensor],
        samples: Sequence[Instances],
        stream: BoxStream,
        refined: Tensor,
        truth: GroundTruth,
    ) -> dict[str, Tensor]:
        """``loss_rsm``, if there is RSM.

        Args:
            maps: of the backbone, from which boxes are pooled.
            samples: N images, the sample of the first classification, of whose background may be
                chosen.
            stream, refined: as of :meth:`_iou_losses`. What is active may be chosen; objects are as
                they were.
            truth: the objects of N images, with classes.
        """
        if self.resampling_scoring is None:
            return {}
        boxes = stream.boxes
        if self.resampling_positives == "output":
            boxes = stream.refined(refined).boxes
        chosen, classes = self.resampling_scoring.sample(
            samples, boxes.split(stream.counts), stream.active.split(stream.counts), truth
        )
        logits = self.resampling_scoring(self.box_pooler(maps, chosen))
        return {"loss_rsm": self.resampling_scoring.loss(logits, classes)}

    def _iou_scores(self, features: Tensor) -> Tensor | None:
        """IoU (R,) of boxes with ``features`` (R, ...) of the last stage; None without ISM, or if
        scores are not fused."""
        if self.iou_scoring is None or self.score_gamma is None:
            return None
        return self.iou_scoring.scores(self.iou_scoring(features))

    def _score_parts(
        self,
        maps: list[Tensor],
        detections: Sequence[Instances],
        boxes: list[Boxes],
        iou: Tensor | None = None,
    ) -> ScoreParts:
        """What the scores of the final ``boxes`` of N images are made of.

        Args:
            maps: of the backbone, from which the boxes are pooled.
            detections: N images with ``scores`` and ``pred_classes``.
            boxes: where these are in the end.
            iou: (R,) of ISM, if the scores do not contain it yet.
        """
        score = torch.cat([x.scores for x in detections])
        if self.score_gamma is None:
            return ScoreParts(score)
        resampled = None
        if self.resampling_scoring is not None:
            logits = self.resampling_scoring(self.box_pooler(maps, boxes))
            classes = torch.cat([x.pred_classes for x in detections])
            resampled = self.resampling_scoring.scores(logits, classes)
        return ScoreParts(score, iou, resampled, self.score_gamma)
