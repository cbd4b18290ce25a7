"""A cascade of two stages on toy maps, with scores and without."""

from __future__ import annotations

from detectron2.layers import ShapeSpec
from detectron2.modeling.box_regression import Box2BoxTransform
from detectron2.modeling.matcher import Matcher
from detectron2.modeling.poolers import ROIPooler
from detectron2.modeling.roi_heads import FastRCNNOutputLayers

from cascade_rpn_d2.modeling import IoUScoring, ScoredCascadeROIHeads
from tests.modeling.roi_heads.toy_heads import CLASSES, box_head, resampling_scoring


def build(cls=ScoredCascadeROIHeads, *, head=box_head, predictor=None, **changes):
    """Two stages on one map of stride 4."""
    width = head().output_shape.channels
    output = {"num_classes": CLASSES, "test_score_thresh": 0.0, "test_topk_per_image": 20}
    arguments = {
        "num_classes": CLASSES,
        "batch_size_per_image": 32,
        "positive_fraction": 0.25,
        "proposal_matchers": [Matcher([iou], [0, 1]) for iou in (0.5, 0.6)],
        "box_in_features": ["p2"],
        "box_pooler": ROIPooler(2, scales=(0.25,), sampling_ratio=1, pooler_type="ROIAlignV2"),
        "box_heads": [head() for _ in range(2)],
        "box_predictors": [
            FastRCNNOutputLayers(
                ShapeSpec(channels=width),
                box2box_transform=Box2BoxTransform((10.0, 10.0, 5.0, 5.0)),
                cls_agnostic_bbox_reg=True,
                **output | (predictor or {}),
            )
            for _ in range(2)
        ],
        "stage_loss_weights": (1.0, 0.5),
    }
    return cls(**arguments | changes)


def build_scored(*, ism: bool = True, rsm: bool = True, **changes) -> ScoredCascadeROIHeads:
    return build(
        **{
            "iou_scoring": IoUScoring(ShapeSpec(channels=8), fc_dims=[8]) if ism else None,
            "resampling_scoring": resampling_scoring() if rsm else None,
        }
        | changes,
    )
