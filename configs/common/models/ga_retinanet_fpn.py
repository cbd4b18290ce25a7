"""GA-RetinaNet as released, but for the location branch, which learns what the paper says."""

from detectron2.config import LazyCall as L
from detectron2.modeling.anchor_generator import DefaultAnchorGenerator

from cascade_rpn_d2.modeling import (
    BoxCoder,
    DenseSampler,
    FeatureAdaption,
    GuidedAnchorRetinaNet,
    GuidedAnchorRetinaNetHead,
    IoUAssigner,
    Refinement,
    SigmoidFocalLoss,
    SmoothL1Loss,
)

from .ga_rpn import location_loss, shape
from .retinanet_fpn import backbone, pixel_mean, pixel_std

# Squares as large as GA-RPN's are fewer strides wide here. The rest of this part is in the code but
# not in the paper.
location_loss.assigner.anchor_scale = 4.0
shape.box_coder.stds = [1.0, 1.0, 1.0, 1.0]
shape.assigner.positive_iou = 0.5
shape.assigner.negative_iou = 0.4
shape.assigner.min_positive_iou = 0.4

# What is in them: as in RetinaNet, but that guided anchors are good enough to ignore none.
refinement = L(Refinement)(
    box_coder=L(BoxCoder)(stds=[1.0, 1.0, 1.0, 1.0]),
    assigner=L(IoUAssigner)(positive_iou=0.5, negative_iou=0.5, min_positive_iou=0.0),
    sampler=L(DenseSampler)(),
    box_loss=L(SmoothL1Loss)(beta=0.04),
    cls_loss=L(SigmoidFocalLoss)(alpha=0.25, gamma=2.0),
    loc_weight=1.0,
    cls_weight=1.0,
)

adaption = L(FeatureAdaption)(in_channels=256, out_channels=256, shape_channels=2, offset_groups=4)

model = L(GuidedAnchorRetinaNet)(
    backbone=backbone,
    head=L(GuidedAnchorRetinaNetHead)(
        in_channels=256,
        num_classes="${..num_classes}",
        cls_adaption=adaption,
        box_adaption=adaption,
        num_convs=4,
        class_prior=0.01,
        location_prior=0.01,
    ),
    head_in_features=["p3", "p4", "p5", "p6", "p7"],
    anchor_generator=L(DefaultAnchorGenerator)(
        sizes=[[32], [64], [128], [256], [512]],
        aspect_ratios=[1.0],
        strides=[8, 16, 32, 64, 128],
        offset=0.0,
    ),
    refinement=refinement,
    shape=shape,
    location_loss=location_loss,
    num_classes=80,
    location_threshold=0.01,
    test_score_thresh=0.05,
    test_topk_candidates=1000,
    test_nms_thresh=0.5,
    max_detections_per_image=100,
    pixel_mean=pixel_mean,
    pixel_std=pixel_std,
)
