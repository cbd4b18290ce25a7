"""GA-RPN: anchors where objects may be, in shapes they may have (Wang et al., CVPR 2019).

Shape shorthand: ``N`` images, ``L`` levels, ``A`` anchors a cell (1 when shapes are predicted),
``Hi, Wi`` cells of level i, ``S`` cells an image: the sum of ``Hi*Wi``, ``R = S*A`` boxes an image,
``M`` active cells of the batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from detectron2.config import CfgNode, configurable
from detectron2.layers import ShapeSpec
from detectron2.modeling.anchor_generator import DefaultAnchorGenerator
from detectron2.modeling.proposal_generator import PROPOSAL_GENERATOR_REGISTRY
from detectron2.structures import ImageList, Instances
from torch import Tensor

from ...layers import clip_boxes
from ..anchors import pyramid_anchors
from ..ground_truth import Grid, GroundTruth, count_own_cells, image_sizes_of, valid_cells
from ..guided_anchors import (
    ActiveCells,
    Activity,
    GuidedAnchors,
    LocationLoss,
    decode_anchors,
    flatten_cells,
    have_anchors,
    shape_deltas,
    share_of,
)
from ..refinement import Prediction, Refinement
from .base import DenseProposalGenerator
from .guided_anchor_head import Guide, GuidedAnchorHead
from .guided_yacs import guided_parts_from_config


@PROPOSAL_GENERATOR_REGISTRY.register()
class GuidedAnchorRPN(DenseProposalGenerator):
    """Proposals from guided anchors.

    The losses are ``loss_rpn_anchor_loc``, ``loss_rpn_anchor_shape``, ``loss_rpn_cls`` and
    ``loss_rpn_loc``; the first two only with the branch that they train. The event storage receives
    ``rpn/active_share`` (of the cells, those that would be active at test), and of shapes and of
    proposals ``rpn/anchor_num_pos`` and ``rpn/num_pos`` (positives an image) and
    ``rpn/anchor_iou`` and ``rpn/iou`` (mean IoU with their targets).

    While training all cells take part. At test those do whose location probability reaches the
    threshold: deformable convolutions and predictions are evaluated there alone. ``activity``
    counts them.

    Args:
        in_features: names of the L feature maps to read, finest first.
        anchor_generator: makes the squares whose shape is predicted, one a cell, or without a shape
            branch the anchors themselves.
        head: the layers.
        refinement: what deltas and objectness make of the anchors, and their losses.
        shape: the same for what the shape branch makes of the squares; None without that branch.
        location_loss: trains the location branch; None without it.
        location_threshold: least probability of an object's centre in an active cell (epsilon L).
        sparse: compute the active cells alone at test. To compute all and leave out the rest takes
            longer and gives the same, but for rounding.
        pre_nms_topk: proposals kept per level before NMS, while (training, testing).
        post_nms_topk: proposals kept per image, while (training, testing).
        nms_thresh: IoU above which the lower of two proposals is suppressed.
        nms_across_levels: suppress between levels too, rather than within each level only.
        min_box_size: proposals whose width or height is not above this (pixels) are dropped.
        size_divisibility: to a multiple of what an image would be padded alone; cells beyond, which
            a larger image in the batch brings, take no part in training, except for the location,
            and propose nothing.
        propose_in_padding: let those cells propose all the same, as mmdet does: what an image is
            given then depends on the images beside it.
        propose_in_training: whether proposals are made while training. A model of proposals only
            does not need them and trains faster without.
        log_period: iterations between two looks at the statistics, as each makes the host wait for
            the device; the default is that of ``train.log_period``, between two lines of metrics.

    Raises:
        ValueError: if the parts do not fit together.
    """

    @configurable
    def __init__(
        self,
        *,
        in_features: Sequence[str],
        anchor_generator: DefaultAnchorGenerator,
        head: GuidedAnchorHead,
        refinement: Refinement,
        shape: Refinement | None = None,
        location_loss: LocationLoss | None = None,
        location_threshold: float = 0.01,
        sparse: bool = True,
        pre_nms_topk: Sequence[int] = (2000, 2000),
        post_nms_topk: Sequence[int] = (2000, 1000),
        nms_thresh: float = 0.7,
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
        self.head = head
        self.refinement = refinement
        self.shape = shape
        self.location_loss = location_loss
        self.location_threshold = location_threshold
        self.sparse = sparse
        self.activity = Activity()
        check_parts(head, shape, location_loss, self.num_anchors)

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: Mapping[str, ShapeSpec]) -> dict[str, Any]:
        """Arguments from yacs keys, see :func:`cascade_rpn_d2.config.add_cascade_rpn_config`."""
        arguments = cls.arguments_from(cfg, input_shape)
        shapes = [input_shape[name] for name in arguments["in_features"]]
        num_anchors = arguments["anchor_generator"].num_anchors[0]
        return {**arguments, **guided_parts_from_config(cfg, shapes, num_anchors)}

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
        guide, squares, grids = self._guide(features)
        image_sizes = image_sizes_of(images, squares.device)
        if not self.training:
            boxes, logits = self._test(guide, squares, grids, images)
            boxes = clip_boxes(boxes, image_sizes)
            return self.select(boxes, logits, grids, images), {}

        if gt_instances is None:
            raise ValueError("GuidedAnchorRPN needs gt_instances while training.")
        truth = GroundTruth.from_instances(gt_instances)
        valid = valid_cells(grids, image_sizes, self.num_anchors, self.size_divisibility)
        anchors = self._anchors(guide, squares)
        prediction = self.head.predict(guide)
        losses = self._branch_losses(guide, squares, truth, grids, valid, image_sizes)
        if guide.location is not None:
            own = self.own_cells(grids, images, squares.device)
            self.log("", {"active_share": share_of(self._active(guide, squares, own), own)})
        outcome = self.refinement.losses(anchors, prediction, truth, grids, valid, image_sizes)
        losses |= {f"loss_rpn_{kind}": value for kind, value in outcome.losses.items()}
        self.log("", outcome.statistics)
        if not self.propose_in_training:
            return [], losses
        assert prediction.logits is not None  # the head's predictor has objectness
        boxes = self.refinement.refine(anchors, prediction, image_sizes)
        return self.select(boxes, prediction.logits, grids, images), losses

    @torch.no_grad()
    def trace(self, images: ImageList, features: Mapping[str, Tensor]) -> GuidedAnchors:
        """Where anchors are and their shapes.

        Args:
            images: the N input images.
            features: maps (N, C, Hi, Wi) by name.
        """
        guide, squares, grids = self._guide(features)
        active = self._active(guide, squares, self.own_cells(grids, images, squares.device))
        if guide.location is None:
            probability = torch.ones_like(active, dtype=torch.float32)
        else:
            probability = guide.location.float().sigmoid()
        return GuidedAnchors(grids, self._anchors(guide, squares), probability, active)

    def _guide(self, features: Mapping[str, Tensor]) -> tuple[Guide, Tensor, list[Grid]]:
        """What the branches say, the anchors (N, R, 4) before it, and the levels."""
        # The order in which sampled convolutions read; on CPUs the others gain by it too.
        maps = [
            features[name].contiguous(memory_format=torch.channels_last)
            for name in self.in_features
        ]
        squares = pyramid_anchors(self.anchor_generator, maps)  # (R, 4)
        return self.head(maps), squares.expand(len(maps[0]), -1, -1), self.grids(maps)

    def _anchors(self, guide: Guide, squares: Tensor) -> Tensor:
        """The guided anchors (N, R, 4), without gradient."""
        if self.shape is None or guide.shapes is None:
            return squares
        return decode_anchors(squares, guide.shapes, self.shape.box_coder)

    def _active(self, guide: Guide, squares: Tensor, own: Tensor | None) -> Tensor:
        """Which cells (N, S) have anchors at test: of the ``own`` (N, S), or of all."""
        if guide.location is not None:
            return have_anchors(guide.location, self.location_threshold, own)
        if own is not None:
            return own
        shape = (len(squares), squares.shape[1] // self.num_anchors)
        return torch.ones(shape, dtype=torch.bool, device=squares.device)

    def _branch_losses(
        self,
        guide: Guide,
        squares: Tensor,
        truth: GroundTruth,
        grids: Sequence[Grid],
        valid: Tensor,
        image_sizes: Tensor,
    ) -> dict[str, Tensor]:
        """What trains location and shape, as far as there are such branches."""
        losses = {}
        if self.location_loss is not None and guide.location is not None:
            losses["loss_rpn_anchor_loc"] = self.location_loss(guide.location, truth, grids)
        if self.shape is not None and guide.shapes is not None:
            prediction = Prediction(shape_deltas(flatten_cells(guide.shapes)), None)
            outcome = self.shape.losses(squares, prediction, truth, grids, valid, image_sizes)
            losses["loss_rpn_anchor_shape"] = outcome.losses["loc"]
            self.log("anchor_", outcome.statistics)
        return losses

    @torch.no_grad()
    def _test(
        self, guide: Guide, squares: Tensor, grids: Sequence[Grid], images: ImageList
    ) -> tuple[Tensor, Tensor]:
        """Refined boxes (N, R, 4), not clipped, and logits (N, R), -inf without an anchor."""
        active = self._active(guide, squares, self.own_cells(grids, images, squares.device))
        counted = (
            [active.shape[1]] * len(active)
            if self.propose_in_padding
            else count_own_cells(grids, images, self.size_divisibility)
        )
        if not self.sparse:
            self.activity.update(active.sum(dim=1).tolist(), counted)
            prediction = self.head.predict(guide)
            assert prediction.logits is not None  # the head's predictor has objectness
            boxes = self.refinement.refine(self._anchors(guide, squares), prediction)
            nowhere = ~active.repeat_interleave(self.num_anchors, dim=1)
            return boxes, prediction.logits.float().masked_fill(nowhere, -torch.inf)

        cells = ActiveCells(active, grids)
        self.activity.update(cells.per_image, counted)
        deltas, row_logits = self.head.predict_at(guide, cells)  # (M, A, 4), (M, A)
        anchors = squares[0].unflatten(0, (-1, self.num_anchors))[cells.cell]  # (M, A, 4)
        if self.shape is not None and guide.shapes is not None:
            shapes = shape_deltas(cells.rows(guide.shapes))[:, None]  # (M, 1, 4)
            anchors = self.shape.box_coder.decode(anchors, shapes)
        refined = self.refinement.box_coder.decode(anchors, deltas)
        boxes = refined.new_zeros(active.numel(), *refined.shape[1:])  # (N*S, A, 4)
        logits = refined.new_full((active.numel(), self.num_anchors), -torch.inf)
        boxes[cells.index], logits[cells.index] = refined, row_logits.to(logits)
        return boxes.view(len(active), -1, 4), logits.view(len(active), -1)


def check_parts(
    head: GuidedAnchorHead,
    shape: Refinement | None,
    location_loss: LocationLoss | None,
    num_anchors: int,
) -> None:
    """Check that head, losses and anchors fit together.

    Raises:
        ValueError: in one sentence, what does not fit.
    """
    if head.predictor.num_anchors != num_anchors:
        raise ValueError(
            f"The head predicts {head.predictor.num_anchors} boxes a cell, but there are "
            f"{num_anchors} anchors a cell."
        )
    if (head.shape is None) != (shape is None):
        raise ValueError(
            "A head with a shape branch needs shape=Refinement(...), which trains it, and one "
            "without needs shape=None."
        )
    if (head.location is None) != (location_loss is None):
        raise ValueError(
            "A head with a location branch needs location_loss=LocationLoss(...), which trains it, "
            "and one without needs location_loss=None."
        )
