"""Cascade R-CNN's heads as mmdet and the authors of Cascade RPN train and evaluate them.

Shape shorthand: ``N`` images, ``Ri`` boxes of image i and ``R`` of all images, ``Gi`` objects of
image i, ``K`` classes without the background.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from detectron2.config import CfgNode, configurable
from detectron2.layers import ShapeSpec
from detectron2.modeling.roi_heads import ROI_HEADS_REGISTRY, CascadeROIHeads
from detectron2.modeling.roi_heads.fast_rcnn import fast_rcnn_inference
from detectron2.structures import Boxes, Instances, pairwise_iou
from detectron2.utils.events import get_event_storage
from torch import Tensor

from .pooling import maps_to_pool

# (R, K + 1) logits, the background last, and (R, 4) deltas
StagePrediction = tuple[Tensor, Tensor]


class CascadeStep(NamedTuple):
    """What one stage did.

    Attributes:
        proposals: N images with the boxes it was given.
        features: (R, C) that its box head saw in them.
        prediction: what it made of these.
    """

    proposals: list[Instances]
    features: Tensor
    prediction: StagePrediction


@ROI_HEADS_REGISTRY.register()
class ResamplingCascadeROIHeads(CascadeROIHeads):
    """Cascade R-CNN that samples anew in every stage.

    Each stage classifies its boxes and refines them for the next one, which asks for a higher IoU.
    The layers and their names are those of Detectron2's ``CascadeROIHeads``, so a checkpoint of one
    fits the other. How the stages are trained and put together is that of mmdet and of the authors'
    code, with which Table 7 of Cascade RPN was made:

    * Every stage matches and draws its samples anew among the boxes that the stage before has made
      of its own, the objects appended; Detectron2 draws and appends once, then only matches.
    * The losses of a stage have a weight; Detectron2 divides the gradients that reach the features
      by the number of stages.
    * At test the logits of the stages are averaged, and then made scores; Detectron2 averages the
      scores.

    A mask or keypoint head is trained on the samples of the first stage, as there.

    Args:
        stage_loss_weights: one weight a stage, on both of its losses.
        kwargs: those of ``CascadeROIHeads``; regression must be class-agnostic.

    Raises:
        ValueError: if the weights are not as many as the stages, or a predictor regresses a box for
            every class.
    """

    @configurable
    def __init__(
        self, *, stage_loss_weights: Sequence[float] = (1.0, 0.5, 0.25), **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.stage_loss_weights = tuple(float(weight) for weight in stage_loss_weights)
        if len(self.stage_loss_weights) != self.num_cascade_stages:
            raise ValueError(
                f"Give stage_loss_weights one weight for each of the {self.num_cascade_stages} "
                f"stages, not {self.stage_loss_weights}."
            )
        for predictor in self.box_predictor:
            if predictor.bbox_pred.out_features != 4:
                raise ValueError(
                    "A stage hands one refined box on for each it is given: build its predictor "
                    "with cls_agnostic_bbox_reg=True, so that it predicts 4 deltas a box instead "
                    f"of {predictor.bbox_pred.out_features}."
                )

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: dict[str, ShapeSpec]) -> dict[str, Any]:
        """Arguments of ``__init__`` from a config with the keys of ``add_cascade_rpn_config``.

        Raises:
            ValueError: if the first stage's IoU is not that of ``MODEL.ROI_HEADS``, or regression
                is not class-agnostic.
        """
        first, *_ = cfg.MODEL.ROI_BOX_CASCADE_HEAD.IOUS
        if list(cfg.MODEL.ROI_HEADS.IOU_THRESHOLDS) != [first]:
            raise ValueError(
                f"MODEL.ROI_HEADS.IOU_THRESHOLDS must be [{first}], the IoU of the first stage in "
                "MODEL.ROI_BOX_CASCADE_HEAD.IOUS, instead of "
                f"{list(cfg.MODEL.ROI_HEADS.IOU_THRESHOLDS)}."
            )
        if not cfg.MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG:
            raise ValueError(
                "Set MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG to True: a stage hands one refined "
                "box on for each it is given."
            )
        arguments = super().from_config(cfg, input_shape)
        arguments["stage_loss_weights"] = cfg.MODEL.ROI_BOX_CASCADE_HEAD.STAGE_LOSS_WEIGHTS
        return arguments

    @torch.no_grad()
    def label_and_sample_proposals(
        self, proposals: list[Instances], targets: list[Instances], stage: int = 0
    ) -> list[Instances]:
        """Match the boxes of a stage with the objects and draw the samples it is trained on.

        Args:
            proposals: N images with ``proposal_boxes``: of the generator for the first stage,
                refined ones for the others.
            targets: N images with ``gt_boxes``, ``gt_classes`` and, for a mask or keypoint head,
                further fields ``gt_*``.
            stage: whose matcher to take.

        Returns:
            N images with at most ``batch_size_per_image`` boxes each, the objects among them if
            ``proposal_append_gt``. Fields: ``proposal_boxes``; ``gt_classes``, K for background;
            ``is_object``, whether the box is an appended object; and where the image has an object,
            ``gt_boxes`` and, in the first stage, what else is known of the matched object.
        """
        sampled = []
        for boxes, truth in zip(proposals, targets, strict=True):
            candidates = self._candidates(boxes, truth)
            iou = pairwise_iou(truth.gt_boxes, candidates.proposal_boxes)  # (Gi, Ri)
            matched, labels = self.proposal_matchers[stage](iou)
            index, classes = self._sample_proposals(matched, labels, truth.gt_classes)
            samples = candidates[index]
            samples.gt_classes = classes
            if len(truth) > 0:
                for name, value in truth.get_fields().items():
                    # Only the first stage's samples train other heads: masks need not be gathered
                    # for the rest.
                    if name == "gt_boxes" or (stage == 0 and _is_extra_target(name)):
                        samples.set(name, value[matched[index]])
            sampled.append(samples)
        self._log_samples(sampled, stage)
        return sampled

    def _candidates(self, proposals: Instances, truth: Instances) -> Instances:
        """The boxes of an image, and its objects if they are to be appended."""
        boxes = proposals.proposal_boxes
        appended = truth.gt_boxes if self.proposal_append_gt else truth.gt_boxes[:0]
        candidates = Instances(proposals.image_size)
        candidates.proposal_boxes = Boxes.cat([boxes, appended])
        candidates.is_object = torch.arange(len(candidates), device=boxes.device) >= len(boxes)
        return candidates

    def _log_samples(self, samples: list[Instances], stage: int) -> None:
        background = sum(int((s.gt_classes == self.num_classes).sum()) for s in samples)
        foreground = sum(len(s) for s in samples) - background
        # The names that Detectron2 has for them.
        prefix = f"stage{stage}/roi_head" if stage > 0 else "roi_head"
        storage = get_event_storage()
        storage.put_scalar(f"{prefix}/num_fg_samples", foreground / len(samples))
        storage.put_scalar(f"{prefix}/num_bg_samples", background / len(samples))

    def _forward_box(
        self,
        features: dict[str, Tensor],
        proposals: list[Instances],
        targets: list[Instances] | None = None,
    ) -> dict[str, Tensor] | list[Instances]:
        """The stages one after the other.

        Args:
            features: maps of the backbone, of which ``box_in_features`` are taken.
            proposals: N images; in training the samples of the first stage.
            targets: N images with the objects, in training.

        Returns:
            In training the losses, named ``loss_cls_stage0``, ``loss_box_reg_stage0``, ...;
            otherwise N images with ``pred_boxes``, ``scores`` and ``pred_classes``.
        """
        maps = maps_to_pool(features, self.box_in_features)
        losses: dict[str, Tensor] = {}
        steps: list[CascadeStep] = []
        for stage in range(self.num_cascade_stages):
            if stage > 0:
                proposals = self._refine(steps[-1], stage - 1)
                if targets is not None:
                    proposals = self.label_and_sample_proposals(proposals, targets, stage)
            steps.append(self._run_stage(maps, proposals, stage))
            if self.training:
                losses.update(self._stage_losses(steps[-1], stage))
        if targets is None:
            return self._detect(maps, steps)
        return losses | self._score_losses(maps, steps, targets)

    def _run_stage(
        self, features: list[Tensor], proposals: list[Instances], stage: int
    ) -> CascadeStep:
        """A stage looks at its boxes; its gradients reach the maps unscaled."""
        pooled = self.box_pooler(features, [x.proposal_boxes for x in proposals])
        seen = self.box_head[stage](pooled)
        return CascadeStep(proposals, seen, self.box_predictor[stage](seen))

    @torch.no_grad()
    def _refine(self, step: CascadeStep, stage: int) -> list[Instances]:
        """The boxes that a stage makes of those it was given, clipped to their images.

        In training, what became of appended objects is left out, for the next stage appends them
        again as they are. Left out are boxes without area too: no object could match them, and as
        background they would only take places of samples which show something. At test all boxes
        stay, for the logits of the stages belong together row by row; :meth:`_detect` drops those
        that have no area in the end.
        """
        refined = self.box_predictor[stage].predict_boxes(step.prediction, step.proposals)
        if self.training:
            refined = [b[~x.is_object] for b, x in zip(refined, step.proposals, strict=True)]
        # Detectron2's, which clips, and in training drops what is empty.
        return self._create_proposals_from_boxes(refined, [x.image_size for x in step.proposals])

    def _stage_losses(self, step: CascadeStep, stage: int) -> dict[str, Tensor]:
        """Weighted losses of a stage; each is a mean over all samples of the batch."""
        with get_event_storage().name_scope(f"stage{stage}"):
            losses = self.box_predictor[stage].losses(step.prediction, step.proposals)
        weight = self.stage_loss_weights[stage]
        return {f"{name}_stage{stage}": loss * weight for name, loss in losses.items()}

    def _score_losses(
        self, maps: list[Tensor], steps: list[CascadeStep], targets: list[Instances]
    ) -> dict[str, Tensor]:
        """What a subclass learns from the boxes of all stages and what they saw in them."""
        return {}

    def _scores(self, steps: list[CascadeStep]) -> list[Tensor]:
        """Of N images (Ri, K + 1) probabilities, from the logits of all stages."""
        logits = torch.stack([step.prediction[0].float() for step in steps]).mean(dim=0)
        _, _, (_, deltas) = steps[-1]
        return self.box_predictor[-1].predict_probs((logits, deltas), steps[-1].proposals)

    def _detect(self, maps: list[Tensor], steps: list[CascadeStep]) -> list[Instances]:
        """Detections from the scores of all stages and the boxes of the last one."""
        predictor = self.box_predictor[-1]
        proposals, _, prediction = steps[-1]
        sizes = [x.image_size for x in proposals]
        scores = self._scores(steps)
        boxes = predictor.predict_boxes(prediction, proposals)
        # NMS suppresses no box without area, so many of them could push detections out of the
        # limit of an image.
        present = [_has_area(b, size) for b, size in zip(boxes, sizes, strict=True)]
        detections, _ = fast_rcnn_inference(
            [b[p] for b, p in zip(boxes, present, strict=True)],
            [s[p] for s, p in zip(scores, present, strict=True)],
            sizes,
            predictor.test_score_thresh,
            predictor.test_nms_thresh,
            predictor.test_topk_per_image,
        )
        return detections


def _is_extra_target(name: str) -> bool:
    return name.startswith("gt_") and name != "gt_classes"


def _has_area(boxes: Tensor, image_size: tuple[int, int]) -> Tensor:
    """Which of ``boxes`` (Ri, 4) have an area inside an image of (height, width): (Ri,) bool."""
    height, width = image_size
    x1, y1, x2, y2 = boxes.unbind(1)
    return (x2.clamp(max=width) > x1.clamp(min=0)) & (y2.clamp(max=height) > y1.clamp(min=0))
