"""Grid R-CNN's heads: a box is classified as it is proposed, then found by its grid points.

Shape shorthand: ``N`` images, ``R`` boxes of all images, ``K`` classes without the background.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from detectron2.config import CfgNode, configurable
from detectron2.layers import ShapeSpec
from detectron2.modeling.poolers import ROIPooler
from detectron2.modeling.roi_heads import ROI_HEADS_REGISTRY, StandardROIHeads
from detectron2.structures import Boxes, ImageList, Instances
from torch import Tensor, nn

from ..ground_truth import GroundTruth
from .box_stream import BoxStream, clip_to_images, counts_of, jitter_boxes, positives_of
from .class_predictor import ClassPredictor
from .grid_head import GridPrediction
from .grid_stage import GridStage
from .grid_yacs import grid_heads_from_config
from .pooling import maps_to_pool
from .scoring import ScoreParts


class GridStep(NamedTuple):
    """What one stage did.

    Attributes:
        boxes: (R, 4) that it was given.
        prediction: its heat maps.
        refined: (R, 4) that it made of them.
    """

    boxes: Tensor
    prediction: GridPrediction
    refined: Tensor


@ROI_HEADS_REGISTRY.register()
class GridROIHeads(StandardROIHeads):
    """Boxes from heat maps of their grid points (Grid R-CNN, Grid R-CNN Plus).

    A classifier scores the proposals and suppresses those of lower score; it moves none. What is
    left is refined by one stage, or, as in CPM R-CNN, by several: each looks at the boxes of the
    one before, in a smaller region around them (cascade mapping, section 3.2 of that paper). Grid
    R-CNN is the case of one stage.

    The losses are ``loss_cls`` and ``loss_grid_stage1``, ``loss_grid_stage2``, ... A mask or
    keypoint head may stand beside the stages, as in Detectron2: it is trained on the proposals and
    evaluated on the refined boxes.

    Args:
        grid_pooler: pools square features of an even side, the same for every stage, from
            ``box_in_features``.
        grid_stages: the stages.
        max_grid_rois_per_image: how many positives of an image at most the first stage learns
            from; None for no limit. CPM R-CNN has 96; Grid R-CNN has 192 of a GPU, to which its
            authors and mmdet give two images.
        jitter: how far positives are moved at random in front of the first stage, in parts of their
            sides: 0.15 in Grid R-CNN, 0 in CPM R-CNN.
        test_stage: stages that are run at test; None for all of them. (Tables 4 and 5 of CPM
            R-CNN.)
        clip_between_stages: whether a refined box is clipped to its image in front of the next
            stage. No released code does.
        kwargs: those of ``StandardROIHeads``. Its ``box_predictor`` is a :class:`ClassPredictor`.

    Raises:
        ValueError: if there is no stage, or none to test at.
        TypeError: if the ``box_predictor`` is none that leaves boxes where they are.
    """

    @configurable
    def __init__(
        self,
        *,
        grid_pooler: ROIPooler,
        grid_stages: Sequence[GridStage],
        max_grid_rois_per_image: int | None = 96,
        jitter: float = 0.15,
        test_stage: int | None = None,
        clip_between_stages: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not isinstance(self.box_predictor, ClassPredictor):
            raise TypeError(
                "Stages find the boxes here, so give box_predictor a ClassPredictor instead of a "
                f"{type(self.box_predictor).__name__}, whose box regression would learn nothing."
            )
        if self.train_on_pred_boxes:
            raise ValueError(
                "train_on_pred_boxes has no meaning where a classifier moves no box: set it to "
                "False."
            )
        stages = list(grid_stages)
        if not stages:
            raise ValueError("A point-guided detector needs a stage at least: fill grid_stages.")
        if test_stage is not None and not 1 <= test_stage <= len(stages):
            raise ValueError(
                f"test_stage is the number of stages to run, 1 to {len(stages)}, not {test_stage}."
            )
        self.grid_pooler = grid_pooler
        self.grid_stages = nn.ModuleList(stages)
        self.max_grid_rois_per_image = max_grid_rois_per_image
        self.jitter = jitter
        self.test_stage = len(stages) if test_stage is None else test_stage
        self.clip_between_stages = clip_between_stages

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: dict[str, ShapeSpec]) -> dict[str, Any]:
        """Arguments of ``__init__`` from a config with the keys of ``add_cascade_rpn_config``."""
        return super().from_config(cfg, input_shape) | grid_heads_from_config(cfg, input_shape)

    @classmethod
    def _init_box_head(cls, cfg: CfgNode, input_shape: dict[str, ShapeSpec]) -> dict[str, Any]:
        arguments = super()._init_box_head(cfg, input_shape)
        arguments["box_predictor"] = ClassPredictor(
            arguments["box_head"].output_shape,
            num_classes=cfg.MODEL.ROI_HEADS.NUM_CLASSES,
            test_score_thresh=cfg.MODEL.ROI_HEADS.SCORE_THRESH_TEST,
            test_nms_thresh=cfg.MODEL.ROI_HEADS.NMS_THRESH_TEST,
            test_topk_per_image=cfg.TEST.DETECTIONS_PER_IMAGE,
        )
        return arguments

    def forward(
        self,
        images: ImageList,
        features: dict[str, Tensor],
        proposals: list[Instances],
        targets: list[Instances] | None = None,
    ) -> tuple[list[Instances], dict[str, Tensor]]:
        """See Detectron2's ``ROIHeads.forward``."""
        if not self.training:
            return super().forward(images, features, proposals)
        if targets is None:
            raise ValueError("Training needs targets: the objects of every image.")
        samples = self.label_and_sample_proposals(proposals, targets)
        losses = self._box_losses(features, samples, targets)
        losses.update(self._forward_mask(features, samples))
        losses.update(self._forward_keypoint(features, samples))
        return samples, losses

    def label_and_sample_proposals(
        self, proposals: list[Instances], targets: list[Instances]
    ) -> list[Instances]:
        """Detectron2's, with a field ``is_object``: which samples are appended objects."""
        return super().label_and_sample_proposals(
            [_with_flag(x, False) for x in proposals], [_with_flag(x, True) for x in targets]
        )

    def _box_losses(
        self, features: dict[str, Tensor], samples: list[Instances], targets: list[Instances]
    ) -> dict[str, Tensor]:
        """Losses of the classifier, of every stage and of scores, if there are any."""
        maps = maps_to_pool(features, self.box_in_features)
        losses = self.box_predictor.losses(self._classify(maps, samples), samples)
        truth = GroundTruth.from_instances(targets)
        stages = self._stages()
        stream = self._first_stream(samples)
        for number, stage in enumerate(stages, 1):
            prediction = stage(self.grid_pooler(maps, stream.per_image()))
            losses[f"loss_grid_stage{number}"] = stage.loss(
                prediction, stream.boxes, stream.objects, stream.active
            )
            if number < len(stages):
                stream = self._next_stream(number, stream, prediction, targets, truth)
        losses.update(self._score_losses(maps, samples, truth, stream, prediction))
        return losses

    def _stages(self) -> list[GridStage]:
        return list(self.grid_stages)  # type: ignore[arg-type]

    def _first_stream(self, samples: list[Instances]) -> BoxStream:
        stream = positives_of(samples, self.num_classes, max_per_image=self.max_grid_rois_per_image)
        if self.jitter == 0:
            return stream
        return jitter_boxes(stream, self.jitter, [x.image_size for x in samples])

    @torch.no_grad()
    def _next_stream(
        self,
        number: int,
        stream: BoxStream,
        prediction: GridPrediction,
        targets: list[Instances],
        truth: GroundTruth,
    ) -> BoxStream:
        """The boxes in front of the stage after stage ``number`` (CPM R-CNN, equation 1).

        Args:
            number: of the stage, from 1.
            stream: the boxes in front of it.
            prediction: what it saw in them.
            targets: N images with their objects.
            truth: the same, as tensors of one shape.
        """
        stage, following = self._stages()[number - 1 : number + 1]
        boxes = stage.refine(prediction, stream.boxes)
        boxes = self._between_stages(boxes, stream.counts, [x.image_size for x in targets])
        stream = stream.refined(boxes)
        if number == 1 and self.proposal_append_gt:
            stream = stream.with_objects(targets)  # later stages keep them
        return stream.matched(truth, following.min_iou)

    def _score_losses(
        self,
        maps: list[Tensor],
        samples: list[Instances],
        truth: GroundTruth,
        stream: BoxStream,
        prediction: GridPrediction,
    ) -> dict[str, Tensor]:
        """What a subclass learns from the boxes in front of the last stage and what it saw."""
        return {}

    def _forward_box(
        self, features: dict[str, Tensor], proposals: list[Instances]
    ) -> list[Instances]:
        """At test: N images with ``pred_boxes``, ``scores`` and ``pred_classes``, best first.

        Boxes are clipped in the end, when they have their scores; stages and scores of the released
        codes see them as they are. Detectron2 clips what a model returns too, but masks, which it
        then fits into the clipped boxes, are read from these.
        """
        candidates = self.candidates(features, proposals)
        boxes = [x.pred_boxes for x in candidates]
        *_, last = self.steps(features, boxes, [x.image_size for x in proposals])
        counts = counts_of(boxes)
        fused = self.score_parts(features, candidates, last).fused
        return [
            _best_first(image, Boxes(refined), score)
            for image, refined, score in zip(
                candidates, last.refined.split(counts), fused.split(counts), strict=True
            )
        ]

    def candidates(
        self, features: dict[str, Tensor], proposals: list[Instances]
    ) -> list[Instances]:
        """What the stages refine at test: see :meth:`ClassPredictor.inference`."""
        maps = maps_to_pool(features, self.box_in_features)
        return self.box_predictor.inference(self._classify(maps, proposals), proposals)[0]

    def steps(
        self,
        features: dict[str, Tensor],
        boxes: list[Boxes],
        image_sizes: list[tuple[int, int]],
    ) -> Iterator[GridStep]:
        """Refine given boxes, stage by stage up to ``test_stage``.

        Args:
            features: maps of the backbone.
            boxes: of N images.
            image_sizes: (height, width) of the N images.
        """
        maps = maps_to_pool(features, self.box_in_features)
        counts = counts_of(boxes)
        current = torch.cat([x.tensor for x in boxes])
        for number, stage in enumerate(self._stages()[: self.test_stage]):
            if number > 0:
                current = self._between_stages(current, counts, image_sizes)
            prediction = stage(self.grid_pooler(maps, [Boxes(x) for x in current.split(counts)]))
            refined = stage.refine(prediction, current)
            yield GridStep(current, prediction, refined)
            current = refined

    def _between_stages(
        self, boxes: Tensor, counts: Sequence[int], image_sizes: Sequence[tuple[int, int]]
    ) -> Tensor:
        if not self.clip_between_stages:
            return boxes
        return clip_to_images(boxes, counts, image_sizes)

    def score_parts(
        self, features: dict[str, Tensor], candidates: list[Instances], step: GridStep
    ) -> ScoreParts:
        """What the scores of the refined boxes are made of.

        Args:
            features: maps of the backbone.
            candidates: N images, as of :meth:`candidates`.
            step: of the last stage, for the boxes of all of them.
        """
        return ScoreParts(torch.cat([x.scores for x in candidates]))

    def _classify(self, maps: list[Tensor], proposals: list[Instances]) -> Tensor:
        """Logits (R, K + 1) of proposals."""
        pooled = self.box_pooler(maps, [x.proposal_boxes for x in proposals])
        return self.box_predictor(self.box_head(pooled))


def _with_flag(image: Instances, is_object: bool) -> Instances:
    """A copy with the field ``is_object``, so that the caller's image stays as it is."""
    copy = Instances(image.image_size, **image.get_fields())
    boxes = image.proposal_boxes if image.has("proposal_boxes") else image.gt_boxes
    copy.is_object = torch.full((len(image),), is_object, device=boxes.device)
    return copy


def _best_first(detections: Instances, boxes: Boxes, scores: Tensor) -> Instances:
    """Detections with their final boxes, clipped, and scores; the best first, equal ones as they
    were."""
    boxes.clip(detections.image_size)
    order = scores.argsort(descending=True, stable=True)
    return Instances(
        detections.image_size,
        pred_boxes=boxes[order],
        scores=scores[order],
        pred_classes=detections.pred_classes[order],
    )
