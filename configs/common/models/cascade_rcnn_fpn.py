"""Cascade R-CNN with FPN as the baseline of Cascade RPN's Table 7 has it (mmdet's stock config)."""

from detectron2.config import LazyCall as L
from detectron2.layers import ShapeSpec
from detectron2.modeling.matcher import Matcher
from detectron2.modeling.roi_heads import FastRCNNConvFCHead, FastRCNNOutputLayers

from cascade_rpn_d2.modeling import ResamplingCascadeROIHeads, SymmetricBox2BoxTransform

from .faster_rcnn_fpn import model
from .resnet50_torchvision_fpn import backbone, pixel_mean, pixel_std

model.backbone = backbone
model.pixel_mean = pixel_mean
model.pixel_std = pixel_std
# The proposals are those of Faster R-CNN: 2000 in training, 1000 at test.
model.roi_heads = L(ResamplingCascadeROIHeads)(
    num_classes=80,
    batch_size_per_image=512,
    positive_fraction=0.25,
    proposal_matchers=[
        L(Matcher)(thresholds=[iou], labels=[0, 1], allow_low_quality_matches=False)
        for iou in (0.5, 0.6, 0.7)
    ],
    box_in_features=model.roi_heads.box_in_features,
    box_pooler=model.roi_heads.box_pooler,
    box_heads=[
        L(FastRCNNConvFCHead)(
            input_shape=L(ShapeSpec)(channels=256, height=7, width=7),
            conv_dims=[],
            fc_dims=[1024, 1024],
        )
        for _ in range(3)
    ],
    box_predictors=[
        L(FastRCNNOutputLayers)(
            input_shape=L(ShapeSpec)(channels=1024),
            box2box_transform=L(SymmetricBox2BoxTransform)(weights=[xy, xy, wh, wh]),
            num_classes="${...num_classes}",
            cls_agnostic_bbox_reg=True,
            smooth_l1_beta=1.0,
            # Stock, with which mmdet lists 40.4 AP on val2017. Whether the table's baseline, 40.8,
            # was evaluated with 0.001 instead, as baselines of Guided Anchoring were, is open.
            test_score_thresh=0.05,
            test_nms_thresh=0.5,
            loss_weight={"loss_cls": 1.0, "loss_box_reg": 1.0},
        )
        # The last are not those of the paper on Cascade R-CNN, 30 and 15: stds 0.033 and 0.067.
        for xy, wh in ((10.0, 5.0), (20.0, 10.0), (1 / 0.033, 1 / 0.067))
    ],
    stage_loss_weights=[1.0, 0.5, 0.25],
)
