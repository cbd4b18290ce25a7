"""Faster R-CNN with FPN as the papers' baselines have it."""

from detectron2.config import LazyCall as L
from detectron2.layers import ShapeSpec
from detectron2.modeling.matcher import Matcher
from detectron2.modeling.meta_arch import GeneralizedRCNN
from detectron2.modeling.poolers import ROIPooler
from detectron2.modeling.roi_heads import (
    FastRCNNConvFCHead,
    FastRCNNOutputLayers,
    StandardROIHeads,
)

from cascade_rpn_d2.modeling import SymmetricBox2BoxTransform

from .resnet_fpn import backbone, pixel_mean, pixel_std
from .rpn import proposal_generator

model = L(GeneralizedRCNN)(
    backbone=backbone,
    proposal_generator=proposal_generator,
    roi_heads=L(StandardROIHeads)(
        num_classes=80,
        batch_size_per_image=512,
        positive_fraction=0.25,
        proposal_matcher=L(Matcher)(
            thresholds=[0.5], labels=[0, 1], allow_low_quality_matches=False
        ),
        box_in_features=["p2", "p3", "p4", "p5"],
        box_pooler=L(ROIPooler)(
            output_size=7,
            scales=(1.0 / 4, 1.0 / 8, 1.0 / 16, 1.0 / 32),
            sampling_ratio=0,
            pooler_type="ROIAlignV2",
        ),
        box_head=L(FastRCNNConvFCHead)(
            input_shape=L(ShapeSpec)(channels=256, height=7, width=7),
            conv_dims=[],
            fc_dims=[1024, 1024],
        ),
        box_predictor=L(FastRCNNOutputLayers)(
            input_shape=L(ShapeSpec)(channels=1024),
            box2box_transform=L(SymmetricBox2BoxTransform)(weights=[10.0, 10.0, 5.0, 5.0]),
            num_classes="${..num_classes}",
            smooth_l1_beta=1.0,
            test_score_thresh=0.05,
            loss_weight={"loss_cls": 1.0, "loss_box_reg": 1.0},
        ),
    ),
    pixel_mean=pixel_mean,
    pixel_std=pixel_std,
)
# Of the detector's proposals fewer are kept at test (mmdet's stock configs).
model.proposal_generator.pre_nms_topk = (2000, 1000)
model.proposal_generator.post_nms_topk = (2000, 1000)
