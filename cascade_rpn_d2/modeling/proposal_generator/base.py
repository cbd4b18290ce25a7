"""What all generators of this project have in common: feature maps and anchors in, the best boxes
of every image out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec
from detectron2.modeling.anchor_generator import DefaultAnchorGenerator, build_anchor_generator
from detectron2.structures import ImageList, Instances
from torch import Tensor, nn

from ..ground_truth import Grid, grids_of, image_sizes_of, own_cells
from ..statistics import put_statistics
from .selection import select_proposals


class DenseProposalGenerator(nn.Module):
    """A generator that predicts for every cell of a feature pyramid.

    Args:
        in_features: names of the L feature maps to read, finest first.
        anchor_generator: makes A anchors per cell, the same number on every level.
        pre_nms_topk: proposals kept per level before NMS, while (training, testing).
        post_nms_topk: proposals kept per image, while (training, testing).
        nms_thresh: IoU above which the lower of two proposals is suppressed.
        nms_across_levels: suppress between levels too, rather than within each level only.
        min_box_size: proposals whose width or height is not above this (pixels) are dropped.
        min_original_size: boxes whose width or height is below this in pixels of the original
            image, before it was resized, are no candidates, already for the best before NMS
            (``RPN_MIN_SIZE`` of py-faster-rcnn). If it is positive, the model must be one that
            tells the original sizes, ``OriginalSizeRCNN`` or ``OriginalSizeProposalNetwork``.
        size_divisibility: to a multiple of what an image would be padded alone; cells beyond, which
            a larger image in the batch brings, take no part in training and propose nothing.
        propose_in_padding: let those cells propose all the same, as Detectron2 and mmdet do: what
            an image is given then depends on the images beside it.
        propose_in_training: whether proposals are made while training. A model of proposals only
            does not need them and trains faster without.
        log_period: iterations between two looks at the statistics, as each makes the host wait for
            the device.

    Raises:
        ValueError: if the levels differ in their number of anchors.
    """

    def __init__(
        self,
        *,
        in_features: Sequence[str],
        anchor_generator: DefaultAnchorGenerator,
        pre_nms_topk: Sequence[int],
        post_nms_topk: Sequence[int],
        nms_thresh: float,
        nms_across_levels: bool = False,
        min_box_size: float = 0.0,
        min_original_size: float = 0.0,
        size_divisibility: int = 32,
        propose_in_padding: bool = False,
        propose_in_training: bool = True,
        log_period: int = 20,
    ):
        super().__init__()
        self.in_features = list(in_features)
        self.anchor_generator: DefaultAnchorGenerator = anchor_generator
        self.pre_nms_topk = {True: pre_nms_topk[0], False: pre_nms_topk[1]}
        self.post_nms_topk = {True: post_nms_topk[0], False: post_nms_topk[1]}
        self.nms_thresh = nms_thresh
        self.nms_across_levels = nms_across_levels
        self.min_box_size = min_box_size
        self.min_original_size = min_original_size
        self.size_divisibility = size_divisibility
        self.propose_in_padding = propose_in_padding
        self.propose_in_training = propose_in_training
        self.log_period = log_period
        numbers = set(anchor_generator.num_anchors)
        if len(numbers) != 1:
            raise ValueError(
                f"Every level must have as many anchors a cell, not {sorted(numbers)}."
            )
        self.num_anchors: int = numbers.pop()

    @staticmethod
    def arguments_from(cfg: CfgNode, input_shape: Mapping[str, ShapeSpec]) -> dict[str, Any]:
        """The arguments above from Detectron2's own yacs keys and ``PROPOSE_IN_PADDING``.

        Raises:
            ValueError: if the backbone has not the maps that are to be read.
        """
        in_features = list(cfg.MODEL.RPN.IN_FEATURES)
        missing = [name for name in in_features if name not in input_shape]
        if missing:
            raise ValueError(
                f"MODEL.RPN.IN_FEATURES names '{missing[0]}', but the backbone has "
                f"{', '.join(input_shape)}: take a model with FPN, or name maps of one width."
            )
        return {
            "in_features": in_features,
            "anchor_generator": build_anchor_generator(cfg, [input_shape[f] for f in in_features]),
            "pre_nms_topk": (cfg.MODEL.RPN.PRE_NMS_TOPK_TRAIN, cfg.MODEL.RPN.PRE_NMS_TOPK_TEST),
            "post_nms_topk": (cfg.MODEL.RPN.POST_NMS_TOPK_TRAIN, cfg.MODEL.RPN.POST_NMS_TOPK_TEST),
            "nms_thresh": cfg.MODEL.RPN.NMS_THRESH,
            "min_box_size": cfg.MODEL.PROPOSAL_GENERATOR.MIN_SIZE,
            # As backbones pad: an FPN to the stride of its input, 32, others to their coarsest.
            "size_divisibility": min(32, max(shape.stride or 32 for shape in input_shape.values())),
            "propose_in_padding": cfg.MODEL.PROPOSAL_GENERATOR.PROPOSE_IN_PADDING,
            "propose_in_training": not cfg.MODEL.META_ARCHITECTURE.endswith("ProposalNetwork"),
        }

    def grids(self, maps: Sequence[Tensor]) -> list[Grid]:
        """The cells of the L ``maps`` (N, C, Hi, Wi)."""
        return grids_of(maps, self.anchor_generator.strides)

    def own_cells(
        self, grids: Sequence[Grid], images: ImageList, device: torch.device
    ) -> Tensor | None:
        """The cells (N, S) that may propose, S the sum of ``Hi*Wi``; None for all of them."""
        if self.propose_in_padding:
            return None
        return own_cells(grids, images, self.size_divisibility, device)

    def large_enough(self, boxes: Tensor, images: ImageList) -> Tensor | None:
        """Which boxes (N, R, 4) have ``min_original_size`` (N, R); None for all of them.

        Raises:
            ValueError: if the original sizes of the images are not known.
        """
        if self.min_original_size <= 0:
            return None
        originals = getattr(images, "original_sizes", None)
        if originals is None:
            raise ValueError(
                f"min_original_size is {self.min_original_size}, but the model does not tell how "
                "large images were before they were resized: take OriginalSizeRCNN or "
                "OriginalSizeProposalNetwork in the place of GeneralizedRCNN or ProposalNetwork."
            )
        both = (images, ImageList(images.tensor, originals))
        sizes, before = (image_sizes_of(each, boxes.device) for each in both)  # (N, 2)
        least = self.min_original_size * (sizes / before).flip(1)[:, None]  # (N, 1, 2), of x, y
        # What is not finite stays, for it is an error that is to be seen.
        return ~((boxes[..., 2:] - boxes[..., :2]) < least).any(dim=-1)

    def select(
        self, boxes: Tensor, logits: Tensor, grids: Sequence[Grid], images: ImageList
    ) -> list[Instances]:
        """The best of the boxes (N, R, 4) by their logits (N, R), after NMS.

        Those of cells that exist for other images alone are none of them, nor are those that are
        too small.
        """
        own = self.own_cells(grids, images, boxes.device)  # (N, S)
        may_propose = None if own is None else own.repeat_interleave(self.num_anchors, dim=1)
        large = self.large_enough(boxes.detach(), images)  # (N, R)
        if large is not None:
            may_propose = large if may_propose is None else large & may_propose
        counts = [grid.cells * self.num_anchors for grid in grids]
        return select_proposals(
            boxes.split(counts, dim=1),
            logits.detach().float().split(counts, dim=1),
            images.image_sizes,
            pre_nms_topk=self.pre_nms_topk[self.training],
            post_nms_topk=self.post_nms_topk[self.training],
            nms_thresh=self.nms_thresh,
            nms_across_levels=self.nms_across_levels,
            min_box_size=self.min_box_size,
            may_propose=None if may_propose is None else may_propose.split(counts, dim=1),
            training=self.training,
        )

    def log(self, prefix: str, statistics: Mapping[str, Tensor]) -> None:
        """Put scalars into the event storage as ``rpn/<prefix><name>``, once in a period."""
        put_statistics(f"rpn/{prefix}", statistics, self.log_period)
