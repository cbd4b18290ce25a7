"""Point-guided heads from yacs keys; LazyConfigs list their parts instead."""

from __future__ import annotations

from typing import Any

from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec
from detectron2.modeling.poolers import ROIPooler
from detectron2.modeling.roi_heads.box_head import build_box_head

from ..yacs import common_width
from .grid_head import GridHead
from .grid_stage import GridStage
from .scoring import IoUScoring, ResamplingScoring


def grid_heads_from_config(cfg: CfgNode, input_shape: dict[str, ShapeSpec]) -> dict[str, Any]:
    """Arguments of ``GridROIHeads`` from ``MODEL.ROI_GRID_HEAD``.

    Raises:
        ValueError: if the lists with a value for every stage differ in length.
    """
    node = cfg.MODEL.ROI_GRID_HEAD
    names = list(cfg.MODEL.ROI_HEADS.IN_FEATURES)
    shapes = [input_shape[name] for name in names]
    keys = ("MAPPING_RATIOS", "IOUS", "LOSS_WEIGHTS")
    lengths = {key: len(node[key]) for key in keys}
    if len(set(lengths.values())) != 1:
        raise ValueError(
            "MODEL.ROI_GRID_HEAD needs one value a stage in each of "
            f"{', '.join(keys)}, which have {', '.join(map(str, lengths.values()))}."
        )
    side = node.POOLER_RESOLUTION
    pooled = ShapeSpec(channels=common_width(shapes, "A grid head"), height=side, width=side)
    return {
        "grid_pooler": ROIPooler(
            output_size=side,
            scales=tuple(1.0 / shape.stride for shape in shapes),
            sampling_ratio=node.POOLER_SAMPLING_RATIO,
            pooler_type=node.POOLER_TYPE,
        ),
        "grid_stages": [
            GridStage(
                GridHead(
                    pooled,
                    grid_size=node.GRID_SIZE,
                    num_convs=node.NUM_CONVS,
                    point_channels=node.POINT_CHANNELS,
                    fusion=node.FUSION,
                    init=node.INIT,
                ),
                mapping_ratio=ratio,
                min_iou=iou,
                loss_weight=weight,
                radius=node.RADIUS,
                min_region_size=node.MIN_REGION_SIZE,
                by_probability=node.BY_PROBABILITY,
            )
            for ratio, iou, weight in zip(*(node[key] for key in keys), strict=True)
        ],
        "max_grid_rois_per_image": _limit(node.MAX_ROIS_PER_IMAGE),
        "jitter": node.JITTER,
        "test_stage": node.TEST_STAGE or None,
        "clip_between_stages": node.CLIP_BETWEEN_STAGES,
    }


def scores_from_config(
    cfg: CfgNode, input_shape: dict[str, ShapeSpec], features: ShapeSpec
) -> dict[str, Any]:
    """Arguments of ``FusedScoring`` from ``MODEL.CPM``.

    Args:
        cfg: the config.
        input_shape: of the maps.
        features: of a box, which IoU scoring reads.
    """
    node = cfg.MODEL.CPM
    return {
        "iou_scoring": iou_scoring_from_config(cfg, features) if node.ISM.ENABLED else None,
        "iou_target": node.ISM.TARGET,
        "iou_from_objects": node.ISM.FROM_OBJECTS,
        "resampling_scoring": (
            resampling_scoring_from_config(cfg, input_shape) if node.RSM.ENABLED else None
        ),
        "resampling_positives": node.RSM.POSITIVES,
        "score_gamma": node.SCORE_GAMMA,
    }


def iou_scoring_from_config(cfg: CfgNode, features: ShapeSpec) -> IoUScoring:
    """ISM of ``MODEL.CPM.ISM`` on ``features`` of a box."""
    node = cfg.MODEL.CPM.ISM
    return IoUScoring(
        features,
        loss=node.LOSS,
        beta=node.SMOOTH_L1_BETA,
        loss_weight=node.LOSS_WEIGHT,
        fc_dims=[node.FC_DIM] * node.NUM_FC,
    )


def resampling_scoring_from_config(
    cfg: CfgNode, input_shape: dict[str, ShapeSpec]
) -> ResamplingScoring:
    """RSM of ``MODEL.CPM.RSM``, with a box head of ``MODEL.ROI_BOX_HEAD`` and the sampling of
    ``MODEL.ROI_HEADS``."""
    shapes = [input_shape[name] for name in cfg.MODEL.ROI_HEADS.IN_FEATURES]
    side = cfg.MODEL.ROI_BOX_HEAD.POOLER_RESOLUTION
    pooled = ShapeSpec(channels=common_width(shapes, "RSM"), height=side, width=side)
    return ResamplingScoring(
        build_box_head(cfg, pooled),
        num_classes=cfg.MODEL.ROI_HEADS.NUM_CLASSES,
        batch_size_per_image=cfg.MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE,
        positive_fraction=cfg.MODEL.ROI_HEADS.POSITIVE_FRACTION,
        loss_weight=cfg.MODEL.CPM.RSM.LOSS_WEIGHT,
    )


def _limit(count: int) -> int | None:
    """A limit of a yacs config, where -1 stands for none."""
    return None if count < 0 else count
