"""A stage of a point-guided detector: a look at boxes, what it learns, and the boxes it makes.

Shape shorthand: ``R`` boxes, ``P`` grid points, ``m`` side of a heat map in cells, ``2h`` side of
the pooled features.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...layers import decode_grid_boxes, encode_grid_points
from .grid_head import GridHead, GridPrediction


class GridStage(nn.Module):
    """A grid head with the region that its heat maps stand for (CPM R-CNN, section 3.2).

    Features are pooled from the boxes as they are; only the region of the heat maps is larger.

    Args:
        head: the network.
        mapping_ratio: sides of the region by those of the box: 2 in Grid R-CNN, then 1.5 and 1.25
            in the stages of CPM R-CNN, whose boxes are ever closer to the objects. (Its released
            code writes these as 1, 0.5 and 0.25.)
        min_iou: boxes that overlap with no object by as much are not learnt from. The first stage
            has the positives of the classification instead, and does not look at it.
        loss_weight: omega times beta of equation 2. The paper has 1, 0.5, 0.25 for beta and no
            number for omega; the released code of both papers has 15 for omega.
        radius: of the peaks of the heat maps that are learnt, in cells.
        min_region_size: regions no wider or no higher than this, in pixels, are learnt to have no
            peaks: 3 in the reference code, 4 in that of Grid R-CNN Plus.
        by_probability: how heat maps are read, see
            :func:`~cascade_rpn_d2.layers.decode_grid_points`. Where a head is that sure of several
            cells, weights that others have published give their boxes only if it is True.

    Raises:
        ValueError: if the region would be smaller than the box.
    """

    def __init__(
        self,
        head: GridHead,
        *,
        mapping_ratio: float = 2.0,
        min_iou: float = 0.5,
        loss_weight: float = 15.0,
        radius: int = 1,
        min_region_size: float = 3.0,
        by_probability: bool = False,
    ):
        super().__init__()
        if mapping_ratio < 1:
            raise ValueError(
                "mapping_ratio is the region's side by that of the box, 1 or more, not "
                f"{mapping_ratio}; a ratio of 0.5 in the released code of CPM R-CNN is 1.5 here."
            )
        self.head = head
        self.mapping_ratio = mapping_ratio
        self.min_iou = min_iou
        self.loss_weight = loss_weight
        self.radius = radius
        self.min_region_size = min_region_size
        self.by_probability = by_probability

    def forward(self, pooled: Tensor) -> GridPrediction:
        """Pooled features (R, C, 2h, 2h) of the boxes -> heat maps."""
        return self.head(pooled)

    def loss(
        self, prediction: GridPrediction, boxes: Tensor, objects: Tensor, active: Tensor
    ) -> Tensor:
        """Binary cross entropy of the heat maps, a mean over the cells of all active boxes.

        Args:
            prediction: for R boxes.
            boxes: (R, 4) that features were pooled from.
            objects: (R, 4) the object that each should become.
            active: (R,) bool, which of them are learnt from; 0 is the loss of none.

        Returns:
            Scalar, weighted. With fusion the sum of both maps' losses.
        """
        targets = encode_grid_points(
            boxes,
            objects,
            grid_size=self.head.grid_size,
            map_size=self.head.map_size,
            mapping_ratio=self.mapping_ratio,
            radius=self.radius,
            min_region_size=self.min_region_size,
        )
        losses = [
            F.binary_cross_entropy_with_logits(logits.float(), targets.float(), reduction="none")
            for logits in (prediction.logits, prediction.unfused_logits)
            if logits is not None
        ]
        per_box = torch.stack([loss.mean(dim=(1, 2, 3)) for loss in losses]).sum(dim=0)  # (R,)
        return self.loss_weight * mean_of_active(per_box, active)

    @torch.no_grad()
    def refine(self, prediction: GridPrediction, boxes: Tensor) -> Tensor:
        """The boxes (R, 4) that heat maps make of ``boxes`` (R, 4); they may leave the image."""
        return decode_grid_boxes(
            prediction.logits,
            boxes,
            mapping_ratio=self.mapping_ratio,
            by_probability=self.by_probability,
        )


def mean_of_active(values: Tensor, active: Tensor) -> Tensor:
    """Mean of the ``values`` (R,) that are ``active`` (R,); 0, with gradients, if none is."""
    return torch.where(active, values, 0).sum() / active.sum().clamp(min=1)
