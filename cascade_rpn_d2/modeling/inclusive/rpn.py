"""RPN whose proposals name their first and last pixel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from detectron2.structures import Boxes, ImageList, Instances
from torch import Tensor

from ..ground_truth import Grid
from ..proposal_generator import StandardRPN
from ..refinement import Prediction
from .pixels import edges_of, pixels_of


class InclusiveRPN(StandardRPN):
    """RPN that clips its proposals to the last row and column of the image.

    Args:
        nms_of_edges: whether proposals suppress each other by the IoU of their edges, as in mmdet
            before 2.0 and Grid R-CNN Plus; otherwise, as if the last pixel were the edge, as in CPM
            R-CNN.
        kwargs: those of :class:`StandardRPN`. A proposal of one pixel is 0 wide here: it is dropped
            unless ``min_box_size`` is negative.
    """

    def __init__(self, *, nms_of_edges: bool = False, **kwargs: Any):
        super().__init__(**kwargs)
        self.nms_of_edges = nms_of_edges

    def _propose(
        self,
        anchors: Tensor,
        prediction: Prediction,
        grids: Sequence[Grid],
        images: ImageList,
        image_sizes: Tensor,
    ) -> list[Instances]:
        assert prediction.logits is not None  # the head predicts them
        refined = self.refinement.refine(anchors, prediction, image_sizes - 1)
        if not self.nms_of_edges:
            return self.select(refined, prediction.logits, grids, images)
        proposals = self.select(edges_of(refined), prediction.logits, grids, images)
        for image in proposals:
            image.proposal_boxes = Boxes(pixels_of(image.proposal_boxes.tensor))
        return proposals
