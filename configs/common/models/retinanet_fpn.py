"""RetinaNet with ResNet-50 FPN: Detectron2's own, with the settings of mmdet 1.x.

But for what both losses are divided by: Detectron2 has a moving average of the number of positive
anchors (momentum 0.9, from 100), mmdet the number in the batch, as GA-RetinaNet here.
"""

from detectron2.config import LazyCall as L
from detectron2.layers import ShapeSpec
from detectron2.modeling.anchor_generator import DefaultAnchorGenerator
from detectron2.modeling.matcher import Matcher
from detectron2.modeling.meta_arch.retinanet import RetinaNet, RetinaNetHead

from cascade_rpn_d2.modeling import LastLevelP6P7WithoutReLU, SymmetricBox2BoxTransform

from .resnet_fpn import backbone, pixel_mean, pixel_std

backbone.bottom_up.out_features = ["res3", "res4", "res5"]
backbone.top_block = L(LastLevelP6P7WithoutReLU)(
    in_channels=2048, out_channels=256, in_feature="res5"
)

model = L(RetinaNet)(
    backbone=backbone,
    head=L(RetinaNetHead)(
        input_shape=[L(ShapeSpec)(channels=256) for _ in range(5)],
        num_classes="${..num_classes}",
        num_anchors=9,
        conv_dims=[256, 256, 256, 256],
        prior_prob=0.01,
    ),
    head_in_features=["p3", "p4", "p5", "p6", "p7"],
    anchor_generator=L(DefaultAnchorGenerator)(
        # The least is 4 strides wide.
        sizes=[[x, x * 2 ** (1 / 3), x * 2 ** (2 / 3)] for x in (32, 64, 128, 256, 512)],
        aspect_ratios=[0.5, 1.0, 2.0],
        strides=[8, 16, 32, 64, 128],
        offset=0.0,
    ),
    anchor_matcher=L(Matcher)(
        thresholds=[0.4, 0.5], labels=[0, -1, 1], allow_low_quality_matches=True
    ),
    box2box_transform=L(SymmetricBox2BoxTransform)(weights=[1.0, 1.0, 1.0, 1.0]),
    num_classes=80,
    focal_loss_alpha=0.25,
    focal_loss_gamma=2.0,
    # mmdet 1.x; later versions have 0, the L1 loss.
    smooth_l1_beta=0.11,
    test_score_thresh=0.05,
    test_topk_candidates=1000,
    test_nms_thresh=0.5,
    max_detections_per_image=100,
    pixel_mean=pixel_mean,
    pixel_std=pixel_std,
)
