"""Cascade RPN: a sequence of stages that turns anchors into proposals (Cascade RPN, Algorithm 1).

RPN, Iterative RPN, Iterative RPN+, RefineRPN and Cascade RPN with any number of stages are all this
class with other stages.

Shape shorthand: ``N`` images, ``L`` levels, ``A`` anchors a cell, ``Hi, Wi`` cells of level i,
``R`` boxes an image: the sum of ``Hi*Wi*A``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, cast

import torch
from detectron2.config import CfgNode, configurable
from detectron2.layers import ShapeSpec
from detectron2.modeling.anchor_generator import DefaultAnchorGenerator
from detectron2.modeling.proposal_generator import PROPOSAL_GENERATOR_REGISTRY
from detectron2.structures import ImageList, Instances
from torch import Tensor, nn

from ..anchors import pyramid_anchors
from ..ground_truth import Grid, GroundTruth, image_sizes_of, valid_cells
from ..refinement import Prediction
from .base import DenseProposalGenerator
from .stage import Stage, StageState
from .yacs import stages_from_config


class StageStep(NamedTuple):
    """One stage at work.

    Attributes:
        stage: which.
        state: the boxes and features that it was given.
        prediction: what it predicted for them.
        refined: (N, R, 4) what it made of the boxes, clipped to the images.
    """

    stage: Stage
    state: StageState
    prediction: Prediction
    refined: Tensor


@PROPOSAL_GENERATOR_REGISTRY.register()
class CascadeRPN(DenseProposalGenerator):
    """Proposals by a cascade of stages.

    Every stage refines the boxes of the one before; the last one scores them. The losses are named
    ``loss_rpn_stage1_loc``, ``loss_rpn_stage2_cls``, ``loss_rpn_stage2_loc``, ... as built, and the
    event storage receives ``rpn/stage1_num_pos`` (positives an image) and ``rpn/stage1_iou`` (mean
    IoU of the stage's boxes with their targets), ...

    Args:
        in_features: names of the L feature maps that stage 1 reads, finest first.
        anchor_generator: makes A anchors per cell, the same number on every level.
        stages: the stages in order; the last one classifies.
        pre_nms_topk: proposals kept per level before NMS, while (training, testing).
        post_nms_topk: proposals kept per image, while (training, testing).
        nms_thresh: IoU above which the lower of two proposals is suppressed.
        nms_across_levels: suppress between levels too, rather than within each level only.
        min_box_size: proposals whose width or height is not above this (pixels) are dropped.
        size_divisibility: to a multiple of what an image would be padded alone; cells beyond, which
            a larger image in the batch brings, take no part in training and propose nothing.
        propose_in_padding: let those cells propose all the same, as Detectron2 and mmdet do: what
            an image is given then depends on the images beside it.
        propose_in_training: whether proposals are made while training. A model of proposals only
            does not need them and trains faster without.
        log_period: iterations between two looks at the statistics, as each makes the host wait for
            the device; the default is that of ``train.log_period``, between two lines of metrics.

    Raises:
        ValueError: if the stages do not fit together or do not fit the anchors.
    """

    @configurable
    def __init__(
        self,
        *,
        in_features: Sequence[str],
        anchor_generator: DefaultAnchorGenerator,
        stages: Sequence[Stage],
        pre_nms_topk: tuple[int, int] = (2000, 2000),
        post_nms_topk: tuple[int, int] = (2000, 2000),
        nms_thresh: float = 0.8,
        nms_across_levels: bool = False,
        min_box_size: float = 0.0,
        size_divisibility: int = 32,
        propose_in_padding: bool = False,
        propose_in_training: bool = True,
        log_period: int = 20,
    ):
        super().__init__(
            in_features=in_features,
            anchor_generator=anchor_generator,
            pre_nms_topk=pre_nms_topk,
            post_nms_topk=post_nms_topk,
            nms_thresh=nms_thresh,
            nms_across_levels=nms_across_levels,
            min_box_size=min_box_size,
            size_divisibility=size_divisibility,
            propose_in_padding=propose_in_padding,
            propose_in_training=propose_in_training,
            log_period=log_period,
        )
        self.stages = nn.ModuleList(stages)
        check_stages(list(stages), len(self.in_features), self.num_anchors, anchor_generator.offset)

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: Mapping[str, ShapeSpec]) -> dict[str, Any]:
        """Arguments from yacs keys, see :func:`cascade_rpn_d2.config.add_cascade_rpn_config`."""
        arguments = cls.arguments_from(cfg, input_shape)
        shapes = [input_shape[name] for name in arguments["in_features"]]
        num_anchors = arguments["anchor_generator"].num_anchors[0]
        arguments["stages"] = stages_from_config(cfg, shapes, num_anchors)
        arguments["nms_across_levels"] = cfg.MODEL.CASCADE_RPN.NMS_ACROSS_LEVELS
        return arguments

    def forward(
        self,
        images: ImageList,
        features: Mapping[str, Tensor],
        gt_instances: Sequence[Instances] | None = None,
    ) -> tuple[list[Instances], dict[str, Tensor]]:
        """Propose boxes and, while training, take the losses.

        Args:
            images: the N input images.
            features: maps (N, C, Hi, Wi) by name.
            gt_instances: ``gt_boxes`` of every image; needed while training.

        Returns:
            ``proposal_boxes`` and ``objectness_logits`` of every image, best first (an empty list
            while training without ``propose_in_training``), and the losses by name (empty at test).
        """
        maps = [features[name] for name in self.in_features]
        grids = self.grids(maps)
        image_sizes = image_sizes_of(images, maps[0].device)
        losses: dict[str, Tensor] = {}
        if self.training:
            if gt_instances is None:
                raise ValueError("CascadeRPN needs gt_instances while training.")
            truth = GroundTruth.from_instances(gt_instances)
            valid = valid_cells(grids, image_sizes, self.num_anchors, self.size_divisibility)

        steps = self._run(features, grids, image_sizes)
        for number, step in enumerate(steps, start=1):
            if self.training:
                outcome = step.stage.losses(
                    step.state.boxes, step.prediction, truth, grids, valid, image_sizes
                )
                losses.update(
                    {f"loss_rpn_stage{number}_{kind}": v for kind, v in outcome.losses.items()}
                )
                self.log(f"stage{number}_", outcome.statistics)

        if self.training and not self.propose_in_training:
            return [], losses
        assert step.prediction.logits is not None  # checked when the stages were put together
        return self.select(step.refined, step.prediction.logits, grids, images), losses

    @torch.no_grad()
    def propose_by_stage(
        self, images: ImageList, features: Mapping[str, Tensor]
    ) -> list[list[Instances]]:
        """The boxes of every stage as proposals, to look at what each of them adds.

        Stages before the last have no score: a cell's box is ranked by the last stage's objectness
        of that cell.

        Returns:
            For every stage the proposals of every image.
        """
        grids, steps = self.trace(images, features)
        logits = steps[-1].prediction.logits
        assert logits is not None  # checked when the stages were put together
        return [self.select(step.refined, logits, grids, images) for step in steps]

    @torch.no_grad()
    def trace(
        self, images: ImageList, features: Mapping[str, Tensor]
    ) -> tuple[list[Grid], list[StageStep]]:
        """The cells of the levels and every stage at work on them, to look at or to measure.

        Args:
            images: the N input images.
            features: maps (N, C, Hi, Wi) by name.
        """
        maps = [features[name] for name in self.in_features]
        grids = self.grids(maps)
        return grids, list(self._run(features, grids, image_sizes_of(images, maps[0].device)))

    def _run(
        self, features: Mapping[str, Tensor], grids: Sequence[Grid], image_sizes: Tensor
    ) -> Iterator[StageStep]:
        """Yields every stage at work, in order."""
        maps = _channels_last(features, self.in_features)
        anchors = pyramid_anchors(self.anchor_generator, maps)  # (R, 4)
        state = StageState(anchors.expand(len(image_sizes), -1, -1), maps)
        for stage in cast(Iterable[Stage], self.stages):
            if stage.in_features is not None:
                state = StageState(state.boxes, _channels_last(features, stage.in_features))
            prediction, handed_on = stage(state, grids)
            refined = stage.refine(state.boxes, prediction, image_sizes)
            yield StageStep(stage, state, prediction, refined)
            state = StageState(refined, handed_on)


def _channels_last(features: Mapping[str, Tensor], names: Sequence[str]) -> list[Tensor]:
    """Maps (N, C, Hi, Wi) by name, in the order in which sampled convolutions read; on CPUs the
    others gain by it too."""
    return [features[name].contiguous(memory_format=torch.channels_last) for name in names]


def check_stages(
    stages: Sequence[Stage], num_levels: int, num_anchors: int, anchor_offset: float
) -> None:
    """Check that the stages fit together and fit the anchors.

    Args:
        stages: in order.
        num_levels: L, levels that stage 1 reads.
        num_anchors: A, anchors per cell.
        anchor_offset: where in a cell its anchors are centred, in strides.

    Raises:
        ValueError: in one sentence, what does not fit.
    """
    if not stages:
        raise ValueError("CascadeRPN needs at least one stage.")
    if not stages[-1].classifies:
        raise ValueError(
            "The last stage must classify, or proposals have no score: give its predictor "
            "objectness=True."
        )
    for number, stage in enumerate(stages, start=1):
        if stage.in_features is not None and len(stage.in_features) != num_levels:
            raise ValueError(
                f"Stage {number} reads the maps {stage.in_features}, but there are anchors for "
                f"{num_levels} levels: name as many."
            )
        if stage.predictor.num_anchors != num_anchors:
            raise ValueError(
                f"Stage {number} predicts {stage.predictor.num_anchors} boxes a cell, but there "
                f"are {num_anchors} anchors a cell."
            )
        if getattr(stage.align, "one_box_per_cell", False) and num_anchors != 1:
            raise ValueError(
                f"The alignment of stage {number} follows the box of a cell, which takes one "
                f"anchor a cell instead of {num_anchors}."
            )
        for kind, part in (("alignment", stage.align), ("assigner", stage.assigner)):
            offset = getattr(part, "center_offset", None)
            if offset is not None and offset != anchor_offset:
                raise ValueError(
                    f"The {kind} of stage {number} has center_offset={offset}, but the anchors are "
                    f"generated with offset={anchor_offset}: give it center_offset={anchor_offset}."
                )
