"""Iterative RPN: two plain heads on the FPN maps; the second refines the boxes of the first."""

from detectron2.config import LazyCall as L
from detectron2.modeling.anchor_generator import DefaultAnchorGenerator

from cascade_rpn_d2.modeling import (
    BoxCoder,
    BoxPredictor,
    CascadeRPN,
    ConvAlignment,
    IoUAssigner,
    RandomSampler,
    SmoothL1Loss,
    Stage,
)

# Both stages classify and regress (Figure 2b). Their statistics, loss and metric are those of the
# RPN that they are made of; neither paper nor code settles them.
stage1, stage2 = [
    L(Stage)(
        align=L(ConvAlignment)(in_channels=256, out_channels=256, dilation=1),
        predictor=L(BoxPredictor)(in_channels=256, num_anchors=3, objectness=True),
        box_coder=L(BoxCoder)(stds=[1.0, 1.0, 1.0, 1.0]),
        assigner=L(IoUAssigner)(positive_iou=0.7, negative_iou=negative_iou, min_positive_iou=0.3),
        sampler=L(RandomSampler)(batch_size_per_image=256, positive_fraction=0.5),
        box_loss=L(SmoothL1Loss)(beta=1.0 / 9),
        loc_weight=1.0,
        cls_weight=1.0,
        border=border,
        bridge=False,
    )
    # Refined boxes overlap the objects more than anchors do: no band between the second's classes,
    # as in Cascade RPN. And they are clipped, so that none crosses the border of the image.
    for negative_iou, border in ((0.3, 0.0), (0.7, None))
]

proposal_generator = L(CascadeRPN)(
    in_features=["p2", "p3", "p4", "p5", "p6"],
    anchor_generator=L(DefaultAnchorGenerator)(
        sizes=[[32], [64], [128], [256], [512]],
        # Three shapes as in RPN: with one the paper has other numbers for the same two stages
        # (Table 3, "+Cascade"), so we take it that these are three.
        aspect_ratios=[0.5, 1.0, 2.0],
        strides=[4, 8, 16, 32, 64],
        offset=0.0,
    ),
    stages=[stage1, stage2],
    pre_nms_topk=(2000, 2000),
    post_nms_topk=(2000, 2000),
    nms_thresh=0.8,
)
