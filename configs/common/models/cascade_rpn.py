"""Cascade RPN with two stages, as released: mmdet >= 2.8's geometry and the weights of its zoo."""

from detectron2.config import LazyCall as L
from detectron2.modeling.anchor_generator import DefaultAnchorGenerator

from cascade_rpn_d2.modeling import (
    AdaptiveAlignment,
    AllSampler,
    BoxCoder,
    BoxPredictor,
    CascadeRPN,
    ConvAlignment,
    IoUAssigner,
    IoULoss,
    RandomSampler,
    RegionAssigner,
    Stage,
)

# Moves and reshapes the anchors; every cell in the middle of an object learns it.
stage1 = L(Stage)(
    # The paper says "dilated" (section 4.3); both released codes use 3.
    align=L(ConvAlignment)(in_channels=256, out_channels=256, dilation=3),
    predictor=L(BoxPredictor)(in_channels=256, num_anchors=1, objectness=False),
    box_coder=L(BoxCoder)(stds=[0.1, 0.1, 0.5, 0.5]),
    assigner=L(RegionAssigner)(center_ratio=0.2, ignore_ratio=0.5, anchor_scale=8.0),
    sampler=L(AllSampler)(),
    box_loss=L(IoULoss)(mode="linear"),
    loc_weight=10.0,
    bridge=True,
)

# Refines and scores the boxes of stage 1, on features aligned to them.
stage2 = L(Stage)(
    align=L(AdaptiveAlignment)(in_channels=256, out_channels=256),
    predictor=L(BoxPredictor)(in_channels=256, num_anchors=1, objectness=True),
    box_coder=L(BoxCoder)(stds=[0.05, 0.05, 0.1, 0.1]),
    assigner=L(IoUAssigner)(positive_iou=0.7, negative_iou=0.7, min_positive_iou=0.3),
    sampler=L(RandomSampler)(batch_size_per_image=256, positive_fraction=0.5),
    box_loss=L(IoULoss)(mode="linear"),
    loc_weight=10.0,
    cls_weight=1.0,
)

proposal_generator = L(CascadeRPN)(
    in_features=["p2", "p3", "p4", "p5", "p6"],
    anchor_generator=L(DefaultAnchorGenerator)(
        sizes=[[32], [64], [128], [256], [512]],
        aspect_ratios=[1.0],
        strides=[4, 8, 16, 32, 64],
        offset=0.0,
    ),
    stages=[stage1, stage2],
    pre_nms_topk=(2000, 2000),
    post_nms_topk=(2000, 2000),
    nms_thresh=0.8,
)
