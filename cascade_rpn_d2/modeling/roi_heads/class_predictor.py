"""What is left of Fast R-CNN's output layers where others find the boxes.

Shape shorthand: ``N`` images, ``Ri`` boxes of image i and ``R`` of all images, ``K`` classes
without the background.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from detectron2.layers import ShapeSpec, cross_entropy
from detectron2.modeling.roi_heads.fast_rcnn import fast_rcnn_inference
from detectron2.structures import Instances
from torch import Tensor, nn

from ..statistics import put_statistics
from .box_stream import counts_of


class ClassPredictor(nn.Module):
    """Scores of boxes that stay where they are.

    Why not Detectron2's ``FastRCNNOutputLayers``: it always regresses boxes. Its layer for the
    classes has the same name here, so that weights fit.

    Args:
        input_shape: of the box head's features.
        num_classes: K.
        test_score_thresh: boxes that score no higher are dropped.
        test_nms_thresh: IoU at which a box suppresses another one of its class: 0.3 where boxes
            will be refined (Grid R-CNN, section 4.1; CPM R-CNN, section 3.4.3).
        test_topk_per_image: boxes kept of an image, -1 for all of them.
        loss_weight: weight of ``loss_cls``.
        log_period: iterations between two looks at how many boxes are classified rightly, each of
            which makes the host wait for the device.
    """

    def __init__(
        self,
        input_shape: ShapeSpec,
        *,
        num_classes: int,
        test_score_thresh: float = 0.03,
        test_nms_thresh: float = 0.3,
        test_topk_per_image: int = 100,
        loss_weight: float = 1.0,
        log_period: int = 20,
    ):
        super().__init__()
        channels = input_shape.channels or 0
        width = channels * (input_shape.height or 1) * (input_shape.width or 1)
        self.num_classes = num_classes
        self.test_score_thresh = test_score_thresh
        self.test_nms_thresh = test_nms_thresh
        self.test_topk_per_image = test_topk_per_image
        self.loss_weight = loss_weight
        self.log_period = log_period
        self.cls_score = nn.Linear(width, num_classes + 1)
        nn.init.normal_(self.cls_score.weight, std=0.01)
        nn.init.zeros_(self.cls_score.bias)

    def forward(self, features: Tensor) -> Tensor:
        """Features (R, ...) of the box head -> (R, K + 1) logits, the background last."""
        return self.cls_score(features.flatten(1))

    def losses(self, logits: Tensor, proposals: Sequence[Instances]) -> dict[str, Tensor]:
        """``loss_cls``, the mean cross entropy of all boxes of the batch.

        Args:
            logits: (R, K + 1).
            proposals: N images with ``gt_classes``, K for the background.
        """
        classes = torch.cat([x.gt_classes for x in proposals])
        self._log_accuracy(logits.detach(), classes)
        # Detectron2's, which is 0 and not NaN for no boxes.
        return {"loss_cls": self.loss_weight * cross_entropy(logits, classes, reduction="mean")}

    def inference(
        self, logits: Tensor, proposals: Sequence[Instances]
    ) -> tuple[list[Instances], list[Tensor]]:
        """The boxes that are worth refining.

        Args:
            logits: (R, K + 1).
            proposals: N images with ``proposal_boxes``.

        Returns:
            detections: N images with ``pred_boxes``, which are proposals clipped to the image,
                ``scores`` and ``pred_classes``, the best first. A proposal may be there in several
                classes.
            kept: for every image, which proposals they are.
        """
        probabilities = F.softmax(logits.float(), dim=1)
        boxes = [x.proposal_boxes for x in proposals]
        return fast_rcnn_inference(
            [x.tensor for x in boxes],
            list(probabilities.split(counts_of(boxes))),
            [x.image_size for x in proposals],
            self.test_score_thresh,
            self.test_nms_thresh,
            self.test_topk_per_image,
        )

    def _log_accuracy(self, logits: Tensor, classes: Tensor) -> None:
        if len(classes) == 0:
            return
        found = logits.argmax(dim=1)
        is_object = classes < self.num_classes
        objects = is_object.sum().clamp(min=1)
        # The names that Detectron2 has for them.
        statistics = {
            "cls_accuracy": (found == classes).float().mean(),
            "fg_cls_accuracy": ((found == classes) & is_object).sum() / objects,
            "false_negative": ((found == self.num_classes) & is_object).sum() / objects,
        }
        put_statistics("fast_rcnn/", statistics, self.log_period)
