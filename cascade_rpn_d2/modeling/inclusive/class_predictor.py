"""Classification of boxes that name their first and last pixel."""

from __future__ import annotations

from collections.abc import Sequence

from detectron2.structures import Boxes, Instances
from torch import Tensor

from ..roi_heads import ClassPredictor
from .pixels import edges_of, pixels_of


class InclusiveClassPredictor(ClassPredictor):
    """A :class:`ClassPredictor` by which boxes suppress each other by the IoU of their edges.

    As in mmdet before 2.0 and Grid R-CNN Plus. CPM R-CNN takes the last pixel for the edge here.
    """

    def inference(
        self, logits: Tensor, proposals: Sequence[Instances]
    ) -> tuple[list[Instances], list[Tensor]]:
        """See :meth:`ClassPredictor.inference`; boxes come and go by their pixels."""
        edges = [
            Instances(x.image_size, proposal_boxes=Boxes(edges_of(x.proposal_boxes.tensor)))
            for x in proposals
        ]
        detections, kept = super().inference(logits, edges)
        for image in detections:
            image.pred_boxes = Boxes(pixels_of(image.pred_boxes.tensor))
        return detections, kept
