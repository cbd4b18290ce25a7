"""RPN whose proposals name their first and last pixel."""

from __future__ import annotations

from typing import Any

import torch
from detectron2.modeling.proposal_generator import RPN
from detectron2.modeling.proposal_generator.proposal_utils import find_top_rpn_proposals
from detectron2.structures import Boxes, Instances
from torch import Tensor

from ...layers import clip_boxes
from .pixels import edges_of, pixels_of


class InclusiveRPN(RPN):
    """RPN that clips its proposals to the last row and column of the image.

    Args:
        nms_of_edges: whether proposals suppress each other by the IoU of their edges, as in mmdet
            before 2.0 and Grid R-CNN Plus; otherwise, as if the last pixel were the edge, as in CPM
            R-CNN.
        kwargs: those of ``RPN``. A proposal of one pixel has no width to Detectron2, which drops
            it unless ``min_box_size`` is negative.
    """

    def __init__(self, *, nms_of_edges: bool = False, **kwargs: Any):
        super().__init__(**kwargs)
        self.nms_of_edges = nms_of_edges

    @torch.no_grad()
    def predict_proposals(
        self,
        anchors: list[Boxes],
        pred_objectness_logits: list[Tensor],
        pred_anchor_deltas: list[Tensor],
        image_sizes: list[tuple[int, int]],
    ) -> list[Instances]:
        """See Detectron2's ``RPN.predict_proposals``."""
        last = torch.tensor(image_sizes) - 1
        decoded = [
            clip_boxes(boxes, last) for boxes in self._decode_proposals(anchors, pred_anchor_deltas)
        ]
        proposals = find_top_rpn_proposals(
            [edges_of(boxes) for boxes in decoded] if self.nms_of_edges else decoded,
            pred_objectness_logits,
            image_sizes,
            self.nms_thresh,
            self.pre_nms_topk[self.training],
            self.post_nms_topk[self.training],
            self.min_box_size,
            self.training,
        )
        if self.nms_of_edges:
            for image in proposals:
                image.proposal_boxes = Boxes(pixels_of(image.proposal_boxes.tensor))
        return proposals
