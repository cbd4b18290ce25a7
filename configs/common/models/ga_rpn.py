"""GA-RPN as released, but for the location branch, which learns what the paper says."""

from detectron2.config import LazyCall as L
from detectron2.modeling.anchor_generator import DefaultAnchorGenerator

from cascade_rpn_d2.modeling import (
    BoundedIoULoss,
    BoxCoder,
    FeatureAdaption,
    GuidedAnchorHead,
    GuidedAnchorRPN,
    IoUAssigner,
    LocationLoss,
    RandomSampler,
    Refinement,
    RegionAssigner,
    SmoothL1Loss,
    VariableIoUAssigner,
)

# Where: sigma 1 and sigma 2 of section 4.1. Centres come before surroundings as in section 3.4; the
# released code lets the last object decide. Since mmdet 2.0 it also loses objects at the far
# borders, and its labels are exchanged.
location_loss = L(LocationLoss)(
    assigner=L(RegionAssigner)(
        center_ratio=0.2,
        ignore_ratio=0.5,
        anchor_scale=8.0,
        adjacent="negatives",
        overlap="center",
        keep_border=True,
    ),
    # In the code but not in the paper, as is the balance of 200 that goes with weights of 1 for
    # the paper's 1 (location) and 0.1 (shape).
    negative_weight=0.1,
    cells_per_unit=200.0,
    weight=1.0,
)

# Which shape: deltas of the squares' sides. The deviations are the code's, equation 2 has none.
shape = L(Refinement)(
    box_coder=L(BoxCoder)(stds=[0.07, 0.07, 0.14, 0.14], max_side_ratio=1e6),
    assigner=L(VariableIoUAssigner)(
        positive_iou=0.7,
        negative_iou=0.3,
        min_positive_iou=0.3,
        # Nine shapes, as RetinaNet's anchors have them.
        octave_scales=[1.0, 2 ** (1 / 3), 2 ** (2 / 3)],
        aspect_ratios=[0.5, 1.0, 2.0],
    ),
    sampler=L(RandomSampler)(batch_size_per_image=256, positive_fraction=0.5),
    box_loss=L(BoundedIoULoss)(beta=0.2),
    loc_weight=1.0,
)

# What is on them: as in RPN, relative to the guided anchors.
refinement = L(Refinement)(
    box_coder=L(BoxCoder)(stds=[0.07, 0.07, 0.11, 0.11]),
    assigner=L(IoUAssigner)(positive_iou=0.7, negative_iou=0.3, min_positive_iou=0.3),
    sampler=L(RandomSampler)(batch_size_per_image=256, positive_fraction=0.5),
    box_loss=L(SmoothL1Loss)(beta=1.0),
    loc_weight=1.0,
    cls_weight=1.0,
)

proposal_generator = L(GuidedAnchorRPN)(
    in_features=["p2", "p3", "p4", "p5", "p6"],
    # The squares whose shape is predicted: sigma = 8 strides wide.
    anchor_generator=L(DefaultAnchorGenerator)(
        sizes=[[32], [64], [128], [256], [512]],
        aspect_ratios=[1.0],
        strides=[4, 8, 16, 32, 64],
        offset=0.0,
    ),
    head=L(GuidedAnchorHead)(
        in_channels=256,
        num_anchors=1,
        location=True,
        shape="size",
        adaption=L(FeatureAdaption)(
            in_channels=256, out_channels=256, shape_channels=2, offset_groups=4
        ),
    ),
    refinement=refinement,
    shape=shape,
    location_loss=location_loss,
    location_threshold=0.01,
    pre_nms_topk=(2000, 2000),
    post_nms_topk=(2000, 1000),
    nms_thresh=0.7,
)
