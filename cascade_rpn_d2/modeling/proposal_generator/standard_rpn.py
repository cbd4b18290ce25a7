"""RPN as Faster R-CNN has it, and as the papers' baselines do (Ren et al., NeurIPS 2015).

Shape shorthand: ``N`` images, ``A`` anchors a cell, ``Hi, Wi`` cells of level i, ``R`` anchors an
image: the sum of ``Hi*Wi*A``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from detectron2.config import CfgNode, configurable
from detectron2.layers import ShapeSpec
from detectron2.modeling.proposal_generator import PROPOSAL_GENERATOR_REGISTRY
from detectron2.modeling.proposal_generator.rpn import build_rpn_head
from detectron2.structures import ImageList, Instances
from torch import Tensor, nn

from ..anchors import pyramid_anchors
from ..ground_truth import Grid, GroundTruth, image_sizes_of, valid_cells
from ..refinement import Prediction, Refinement
from .base import DenseProposalGenerator
from .yacs import standard_refinement_from_config


@PROPOSAL_GENERATOR_REGISTRY.register()
class StandardRPN(DenseProposalGenerator):
    """Proposals from anchors of fixed shapes: one refinement, which also scores.

    Layers, names of weights and names of losses (``loss_rpn_cls``, ``loss_rpn_loc``) are those of
    Detectron2's ``RPN``, whose weights load. Why not that class: it leaves out the anchors that
    cross the border only after matching, so that an object which overlaps one of them most claims
    it and has no anchor left to learn it (with the paper's 9 anchors and a shorter side of 600 px,
    this affects 621 of 4,137 objects in 509 images of COCO 2017); an object claims its best anchor
    however little they overlap; and cells of padding propose.

    The event storage receives ``rpn/num_pos`` (positives an image) and ``rpn/iou`` (mean IoU of the
    refined boxes with their targets).

    Args:
        head: layers with the interface of Detectron2's ``StandardRPNHead``: maps (N, C, Hi, Wi) ->
            logits (N, A, Hi, Wi) and deltas (N, A*4, Hi, Wi), one of each a level.
        refinement: what deltas and objectness make of the anchors, and their losses.
        kwargs: those of :class:`DenseProposalGenerator`.
    """

    @configurable
    def __init__(
        self,
        *,
        head: nn.Module,
        refinement: Refinement,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.rpn_head = head
        self.refinement = refinement

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: Mapping[str, ShapeSpec]) -> dict[str, Any]:
        """Arguments from the yacs keys of Detectron2's ``RPN`` and those of
        :func:`cascade_rpn_d2.config.add_cascade_rpn_config`."""
        arguments = cls.arguments_from(cfg, input_shape)
        arguments["head"] = build_rpn_head(cfg, [input_shape[x] for x in arguments["in_features"]])
        arguments["refinement"] = standard_refinement_from_config(cfg)
        arguments["min_original_size"] = cfg.MODEL.PROPOSAL_GENERATOR.MIN_ORIGINAL_SIZE
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
        anchors = pyramid_anchors(self.anchor_generator, maps)  # (R, 4)
        anchors = anchors.expand(len(image_sizes), -1, -1)
        prediction = self._predict(maps)
        losses: dict[str, Tensor] = {}
        if self.training:
            if gt_instances is None:
                raise ValueError(f"{type(self).__name__} needs gt_instances while training.")
            truth = GroundTruth.from_instances(gt_instances)
            valid = valid_cells(grids, image_sizes, self.num_anchors, self.size_divisibility)
            outcome = self.refinement.losses(anchors, prediction, truth, grids, valid, image_sizes)
            losses = {f"loss_rpn_{kind}": value for kind, value in outcome.losses.items()}
            self.log("", outcome.statistics)
            if not self.propose_in_training:
                return [], losses
        return self._propose(anchors, prediction, grids, images, image_sizes), losses

    def _predict(self, maps: Sequence[Tensor]) -> Prediction:
        """What the head says of all anchors, in their order."""
        logits, deltas = self.rpn_head(list(maps))
        return Prediction(
            # (N, A*4, Hi, Wi) -> (N, Hi, Wi, A*4) -> (N, Hi*Wi*A, 4)
            torch.cat([x.permute(0, 2, 3, 1).reshape(len(x), -1, 4) for x in deltas], dim=1),
            # (N, A, Hi, Wi) -> (N, Hi, Wi, A) -> (N, Hi*Wi*A)
            torch.cat([x.permute(0, 2, 3, 1).flatten(1) for x in logits], dim=1),
        )

    def _propose(
        self,
        anchors: Tensor,
        prediction: Prediction,
        grids: Sequence[Grid],
        images: ImageList,
        image_sizes: Tensor,
    ) -> list[Instances]:
        """The best of the refined boxes."""
        assert prediction.logits is not None  # the head predicts them
        refined = self.refinement.refine(anchors, prediction, image_sizes)
        return self.select(refined, prediction.logits, grids, images)
