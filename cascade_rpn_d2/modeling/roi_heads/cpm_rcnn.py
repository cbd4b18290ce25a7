"""CPM R-CNN's heads: point-guided boxes in stages, with scores that know where the boxes ended.

Shape shorthand: ``N`` images.
"""

from __future__ import annotations

from typing import Any

from detectron2.config import CfgNode, configurable
from detectron2.layers import ShapeSpec
from detectron2.modeling.roi_heads import ROI_HEADS_REGISTRY
from detectron2.structures import Boxes, Instances
from torch import Tensor

from ..ground_truth import GroundTruth
from .box_stream import BoxStream, counts_of
from .fused_scoring import FusedScoring
from .grid_head import GridPrediction
from .grid_rcnn import GridROIHeads, GridStep
from .grid_yacs import scores_from_config
from .pooling import maps_to_pool
from .scoring import ScoreParts


@ROI_HEADS_REGISTRY.register()
class CPMROIHeads(FusedScoring, GridROIHeads):
    """Point-guided boxes with fused scores (CPM R-CNN).

    The stages are the cascade mapping module (section 3.2). After the last one, two modules say how
    good a refined box is, and the score of the proposal is fused with theirs (section 3.3). Each of
    the three can be had without the others.

    The losses are those of :class:`GridROIHeads`, ``loss_ism`` and ``loss_rsm``.

    Where paper and released code differ, the defaults follow the code, which the published numbers
    are from.

    Args:
        jitter: see :class:`GridROIHeads`.
        kwargs: those of :class:`FusedScoring`, whose ISM sits on the trunk of the last stage, and
            further ones of :class:`GridROIHeads`.
    """

    @configurable
    def __init__(
        self,
        *,
        jitter: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(jitter=jitter, **kwargs)

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: dict[str, ShapeSpec]) -> dict[str, Any]:
        """Arguments of ``__init__`` from a config with the keys of ``add_cascade_rpn_config``."""
        arguments = super().from_config(cfg, input_shape)
        last = arguments["grid_stages"][-1]
        return arguments | scores_from_config(cfg, input_shape, last.head.output_shape)

    def _score_losses(
        self,
        maps: list[Tensor],
        samples: list[Instances],
        truth: GroundTruth,
        stream: BoxStream,
        prediction: GridPrediction,
    ) -> dict[str, Tensor]:
        """``loss_ism`` and ``loss_rsm``, as far as there are these modules."""
        refined = self._stages()[-1].refine(prediction, stream.boxes)
        losses = self._iou_losses(prediction.features, stream, refined, truth)
        return losses | self._resampling_losses(maps, samples, stream, refined, truth)

    def score_parts(
        self, features: dict[str, Tensor], candidates: list[Instances], step: GridStep
    ) -> ScoreParts:
        """See :meth:`GridROIHeads.score_parts`.

        ISM sits on the last stage, so that it has no say where an earlier one is tested.
        """
        iou = None
        if self.test_stage == len(self.grid_stages):
            iou = self._iou_scores(step.prediction.features)
        maps = maps_to_pool(features, self.box_in_features)
        counts = counts_of([x.pred_boxes for x in candidates])
        refined = [Boxes(x) for x in step.refined.split(counts)]
        return self._score_parts(maps, candidates, refined, iou)
