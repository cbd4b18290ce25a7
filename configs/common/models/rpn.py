"""The RPN of the papers' baselines, with the settings of mmdet 1.x."""

from detectron2.config import LazyCall as L
from detectron2.modeling.anchor_generator import DefaultAnchorGenerator
from detectron2.modeling.proposal_generator import StandardRPNHead

from cascade_rpn_d2.modeling import (
    BoxCoder,
    IoUAssigner,
    RandomSampler,
    Refinement,
    SmoothL1Loss,
    StandardRPN,
)

proposal_generator = L(StandardRPN)(
    in_features=["p2", "p3", "p4", "p5", "p6"],
    head=L(StandardRPNHead)(in_channels=256, num_anchors=3),
    anchor_generator=L(DefaultAnchorGenerator)(
        sizes=[[32], [64], [128], [256], [512]],
        aspect_ratios=[0.5, 1.0, 2.0],
        strides=[4, 8, 16, 32, 64],
        offset=0.0,
    ),
    refinement=L(Refinement)(
        box_coder=L(BoxCoder)(stds=[1.0, 1.0, 1.0, 1.0]),
        assigner=L(IoUAssigner)(positive_iou=0.7, negative_iou=0.3, min_positive_iou=0.3),
        sampler=L(RandomSampler)(batch_size_per_image=256, positive_fraction=0.5),
        box_loss=L(SmoothL1Loss)(beta=1.0 / 9),
        loc_weight=1.0,
        cls_weight=1.0,
        border=0.0,  # allowed_border 0: anchors across the border of the image do not learn
    ),
    pre_nms_topk=(2000, 2000),
    post_nms_topk=(2000, 2000),
    nms_thresh=0.7,
)
