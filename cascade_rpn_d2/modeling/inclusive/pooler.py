"""RoIAlign of boxes that name their first and last pixel.

Shape shorthand: ``R`` boxes of all images.
"""

from __future__ import annotations

from typing import Any

import torch
from detectron2.modeling.poolers import ROIPooler, convert_boxes_to_pooler_format
from detectron2.structures import Boxes
from torch import Tensor

from .pixels import edges_of


class InclusiveROIPooler(ROIPooler):
    """Detectron2's pooler, which takes the whole box to choose a level.

    Args:
        to_edges: whether features are pooled up to the edges of a box, as mmdet does before 2.0 and
            Grid R-CNN Plus; otherwise up to the coordinates of its last pixel, as Detectron and
            CPM R-CNN do. The former also pools a box smaller than a cell as what it is; the latter
            pools a whole cell.
        kwargs: those of ``ROIPooler``. The ``pooler_type`` is ``"ROIAlign"``.

    Raises:
        ValueError: if the type is another one, which no code with such boxes has.
    """

    def __init__(self, *, to_edges: bool = False, **kwargs: Any):
        if kwargs.get("pooler_type") != "ROIAlign":
            raise ValueError(
                "Boxes that name their last pixel are pooled with pooler_type='ROIAlign', not "
                f"{kwargs.get('pooler_type')!r}."
            )
        if to_edges:
            # Of RoIAlign's two forms this one leaves small boxes small; forward() undoes its shift.
            kwargs["pooler_type"] = "ROIAlignV2"
        super().__init__(**kwargs)
        self.to_edges = to_edges

    def forward(self, x: list[Tensor], box_lists: list[Boxes]) -> Tensor:
        """Maps of the levels, and the boxes of every image -> (R, C, Hp, Wp)."""
        boxes = convert_boxes_to_pooler_format(box_lists)  # (R, 5), the image first
        edges = edges_of(boxes[:, 1:])
        levels = self._levels(edges)
        pooled = x[0].new_zeros((len(boxes), x[0].shape[1], *self.output_size))
        for level, (pooler, features) in enumerate(zip(self.level_poolers, x, strict=True)):
            index = (levels == level).nonzero()[:, 0]
            taken = boxes[index]
            if self.to_edges:
                half_cell = 0.5 / pooler.spatial_scale
                taken = torch.cat((taken[:, :1], edges[index] + half_cell), dim=1)
            pooled.index_put_((index,), pooler(features, taken))
        return pooled

    def _levels(self, edges: Tensor) -> Tensor:
        """Indices (R,) of the levels of boxes (R, 4), by the roots of their areas."""
        sides = edges[:, 2:] - edges[:, :2]
        root = sides.prod(dim=1).sqrt()
        level = (self.canonical_level + (root / self.canonical_box_size + 1e-6).log2()).floor()
        return level.clamp(self.min_level, self.max_level).long() - self.min_level
