"""CPM R-CNN, and what its tables compare it with, as its authors have them.

Keys in capitals that a file does not set are those of pet/rcnn/core/config.py.
"""

from __future__ import annotations

from .mmdet1 import PYRAMID
from .table import Fact, Table, edited

_REPOSITORY = "github.com/zhubinQAQ/CPM-R-CNN at 0474a08d5c3deb8ef90805cdbfd941f37b20979e"
_RESCORE = f"{_REPOSITORY}, cfgs/rcnn/mscoco/grid_cascade/iou_helper/rescore"
_CPM = f"{_RESCORE}/e2e_grid_cascade@567_rcnn_R-50-FPN_2x.yaml"
_SOLVER = "pet/utils/optimizer.py"
_RPN = "pet/rcnn/modeling/rpn"
_GRID = "pet/rcnn/modeling/grid_cascade_rcnn"


def _cascade(folder: str) -> str:
    return f"{_REPOSITORY}, cfgs/rcnn/mscoco/cascade/{folder}e2e_cascade_rcnn@2_R-50-FPN_1x.yaml"


_TRAINING = {
    "schedule.batch": Fact(16, "TRAIN.BATCH_SIZE"),
    "schedule.iterations": Fact(180_000, "SOLVER.MAX_ITER"),
    "schedule.steps": Fact((120_000, 160_000), "SOLVER.STEPS"),
    "schedule.step_factor": Fact(0.1, "SOLVER.GAMMA"),
    "schedule.warmup_iterations": Fact(500, "SOLVER.WARM_UP_ITERS"),
    "schedule.warmup_factor": Fact(0.1, "SOLVER.WARM_UP_FACTOR"),
    "schedule.half_precision": Fact(False, "tools/rcnn/train_net.py: no line of it"),
    "schedule.weight_averaging": Fact(False, "tools/rcnn/train_net.py: no line of it"),
    "optimizer.kind": Fact("SGD", "SOLVER.OPTIMIZER"),
    "optimizer.lr": Fact(0.02, "SOLVER.BASE_LR"),
    "optimizer.bias_lr_factor": Fact(2.0, f"{_SOLVER}: BIAS_DOUBLE_LR + 1"),
    "optimizer.momentum": Fact(0.9, "SOLVER.MOMENTUM"),
    "optimizer.nesterov": Fact(False, f"{_SOLVER}: torch.optim.SGD"),
    "optimizer.dampening": Fact(0, f"{_SOLVER}: torch.optim.SGD"),
    # The paper has 4e-5 (section 3.4.2).
    "optimizer.weight_decay": Fact(0.0001, "SOLVER.WEIGHT_DECAY"),
    "optimizer.weight_decay_of_biases": Fact(0.0, "SOLVER.BIAS_WEIGHT_DECAY"),
    "optimizer.weight_decay_of_norms": Fact(0.0, "SOLVER.WEIGHT_DECAY_GN [x WEIGHT_DECAY]"),
    "optimizer.max_gradient_norm": Fact(None, "tools/rcnn/train_net.py: no line of it"),
}
_IMAGES = {
    "images.train_short_side": Fact(800, "TRAIN.SCALES"),
    "images.train_long_side": Fact(1333, "TRAIN.MAX_SIZE"),
    "images.test_short_side": Fact(800, "TEST.SCALE"),
    "images.test_long_side": Fact(1333, "TEST.MAX_SIZE"),
    "images.train_set": Fact("coco_2017_train", "TRAIN.DATASETS"),
    "images.train_without_objects": Fact(False, "DATALOADER.FILTER_EMPTY_ANNOTATIONS"),
    "images.grouped_by_shape": Fact(True, "DATALOADER.ASPECT_RATIO_GROUPING"),
    "images.flip": Fact(0.5, "pet/rcnn/datasets/transform.py: flip_prob"),
    "images.channels": Fact("BGR", "TO_BGR255"),
    "images.mean": Fact((102.9801, 115.9465, 122.7717), "PIXEL_MEANS"),
    "images.std": Fact((1.0, 1.0, 1.0), "PIXEL_STDS"),
    "images.divisor": Fact(32, "TRAIN.SIZE_DIVISIBILITY"),
}
_BACKBONE = {
    "backbone.depth": Fact(50, "BACKBONE.RESNET.LAYERS [(3, 4, 6, 3)]"),
    "backbone.stride_in": Fact("1x1", "BACKBONE.RESNET.STRIDE_3X3"),
    "backbone.norm": Fact("frozen", "MODEL.BATCH_NORM"),
    "backbone.stem_norm": Fact("frozen", "MODEL.BATCH_NORM"),
    "backbone.frozen_stages": Fact(1, "BACKBONE.RESNET.FREEZE_AT [2: stem and first stage]"),
    "backbone.weights": Fact("MSRA", "TRAIN.WEIGHTS [resnet50_caffe.pth]"),
    "fpn.inputs": Fact(("res2", "res3", "res4", "res5"), "FPN.LOWEST_BACKBONE_LVL [to 5]"),
    "fpn.channels": Fact(256, "FPN.DIM"),
    "fpn.norm": Fact("", "FPN.USE_GN, USE_BN"),
    "fpn.coarser": Fact("LastLevelMaxPool", "FPN.EXTRA_CONV_LEVELS"),
}
_PROPOSALS = {
    "proposals.kind": Fact("StandardRPN", "RPN.RPN_HEAD [SingleConvRPNHead]"),
    "proposals.maps": Fact(PYRAMID, "FPN.RPN_MIN_LEVEL, RPN_MAX_LEVEL"),
    "anchors.sizes": Fact(((32,), (64,), (128,), (256,), (512,)), "RPN.ANCHOR_SIZES"),
    "anchors.ratios": Fact((0.5, 1.0, 2.0), "RPN.ASPECT_RATIOS"),
    "anchors.strides": Fact((4, 8, 16, 32, 64), "RPN.ANCHOR_STRIDE"),
    "anchors.offset": Fact(0.5, f"{_RPN}/anchor_generator.py: (0, 0, base_size - 1, ...)"),
    "rpn.channels": Fact(256, f"{_RPN}/rpn.py: dim_in [FPN.DIM]"),
    "rpn.convs": Fact(1, f"{_RPN}/rpn.py: self.conv"),
    "rpn.anchors_per_cell": Fact(3, "RPN.ASPECT_RATIOS [1 size x 3]"),
    "rpn.border": Fact(0, "RPN.STRADDLE_THRESH"),
    "rpn.match_across_border": Fact(True, f"{_RPN}/loss.py: not_visibility"),
    "rpn.positive_iou": Fact(0.7, "RPN.FG_IOU_THRESHOLD"),
    "rpn.negative_iou": Fact(0.3, "RPN.BG_IOU_THRESHOLD"),
    "rpn.min_positive_iou": Fact(0.0, f"{_RPN}/loss.py: allow_low_quality_matches=True"),
    "rpn.claimed_boxes": Fact(
        "label", "pet/rcnn/utils/matcher.py: all_matches[pred_inds_to_update]"
    ),
    "rpn.samples": Fact(256, "RPN.BATCH_SIZE_PER_IMAGE"),
    "rpn.positive_fraction": Fact(0.5, "RPN.POSITIVE_FRACTION"),
    "rpn.losses_per": Fact("sample", f"{_RPN}/loss.py: sampled_inds.numel()"),
    "rpn.box_stds": Fact(
        (1.0, 1.0, 1.0, 1.0), f"{_RPN}/rpn.py: BoxCoder(weights=(1.0, 1.0, 1.0, 1.0))"
    ),
    "rpn.max_side_ratio": Fact(1000 / 16, "pet/rcnn/utils/box_coder.py: bbox_xform_clip"),
    "rpn.shrinking_is_bounded": Fact(
        False, "pet/rcnn/utils/box_coder.py: clamp(dw, max=self.bbox_xform_clip)"
    ),
    "rpn.box_loss": Fact(("smooth L1", 1 / 9), "RPN.SMOOTH_L1_BETA"),
    "rpn.box_loss_weight": Fact(1.0, f"{_RPN}/rpn.py: loss_rpn_box_reg"),
    "rpn.class_loss": Fact("cross entropy", f"{_RPN}/loss.py: binary_cross_entropy_with_logits"),
    "rpn.class_loss_weight": Fact(1.0, f"{_RPN}/rpn.py: loss_rpn_box_reg"),
    "proposals.train_before_nms": Fact(2000, "RPN.PRE_NMS_TOP_N_TRAIN"),
    # 2000 of the two images of a GPU together.
    "proposals.train_count": Fact(
        1000, "RPN.FPN_POST_NMS_TOP_N_TRAIN [/ 2: FPN_POST_NMS_PER_BATCH]"
    ),
    "proposals.test_before_nms": Fact(1000, "RPN.PRE_NMS_TOP_N_TEST"),
    "proposals.test_count": Fact(1000, "RPN.FPN_POST_NMS_TOP_N_TEST"),
    "proposals.nms": Fact(0.7, "RPN.NMS_THRESH"),
    "proposals.nms_across_levels": Fact(
        False, f"{_RPN}/inference.py: forward_for_single_feature_map"
    ),
    "proposals.min_size": Fact(0, "RPN.MIN_SIZE"),
    "proposals.min_original_size": Fact(0, "RPN.MIN_SIZE [of the resized image]"),
    "proposals.in_padding": Fact(True, f"{_RPN}/inference.py: objectness.topk"),
}
_COMMON = {**_TRAINING, **_IMAGES, **_BACKBONE, **_PROPOSALS}

_ROI_FEATURES = {
    "roi.classes": Fact(80, "MODEL.NUM_CLASSES [less the background]"),
    "roi.maps": Fact(PYRAMID[:4], "FPN.ROI_MIN_LEVEL, ROI_MAX_LEVEL"),
    "roi.objects_are_proposals": Fact(True, f"{_RPN}/inference.py: add_gt_proposals"),
    "roi.pooled_strides": Fact((4, 8, 16, 32), "FPN.ROI_MIN_LEVEL, ROI_MAX_LEVEL"),
    "roi.finest_side": Fact(
        56, "pet/rcnn/utils/poolers.py: canonical_scale=224, canonical_level=4"
    ),
    "roi.half_pixel_shift": Fact(False, 'pet/rcnn/utils/poolers.py: aligned="V2" in method'),
    "roi.convs": Fact((), "GRID_RCNN.ROI_CLS_HEAD, FAST_RCNN.ROI_BOX_HEAD [fully connected alone]"),
}
_CLASSIFIER = {
    **_ROI_FEATURES,
    "roi.kind": Fact("CPMROIHeads", "GRID_RCNN.CASCADE_MAPPING_ON"),
    "roi.samples": Fact(512, "GRID_RCNN.BATCH_SIZE_PER_IMAGE"),
    "roi.positive_fraction": Fact(0.25, "GRID_RCNN.POSITIVE_FRACTION"),
    "roi.positive_iou": Fact(0.5, "GRID_RCNN.FG_IOU_THRESHOLD"),
    "roi.pooled_size": Fact(7, "GRID_RCNN.ROI_XFORM_RESOLUTION_CLS"),
    "roi.pooling": Fact("align", "GRID_RCNN.ROI_XFORM_METHOD"),
    "roi.samples_a_side": Fact(2, "GRID_RCNN.ROI_XFORM_SAMPLING_RATIO"),
    "roi.fcs": Fact((1024, 1024), "GRID_RCNN.MLP_HEAD.MLP_DIM [x 2]"),
    "roi.class_loss_weight": Fact(1.0, f"{_GRID}/grid_cascade_rcnn.py: loss_classifier"),
    "roi.score_threshold": Fact(0.03, "GRID_RCNN.SCORE_THRESH"),
    "roi.nms": Fact(0.3, "GRID_RCNN.NMS"),
    "roi.detections": Fact(-1, f"{_GRID}/inference.py: boxlist_ml_nms"),
}
_GRID_STAGES = {
    "grid.pooled_size": Fact(14, "GRID_RCNN.ROI_XFORM_RESOLUTION_GRID"),
    "grid.pooled_strides": _ROI_FEATURES["roi.pooled_strides"],
    "grid.finest_side": _ROI_FEATURES["roi.finest_side"],
    "grid.pooling": _CLASSIFIER["roi.pooling"],
    "grid.half_pixel_shift": _ROI_FEATURES["roi.half_pixel_shift"],
    "grid.samples_a_side": _CLASSIFIER["roi.samples_a_side"],
    "grid.rois_of_an_image": Fact(96, "GRID_RCNN.MAX_SAMPLE_NUM_GRID"),
    "grid.jitter": Fact(0.0, "GRID_RCNN.RANDOM_JITTER"),
    # It clamps a copy.
    "grid.clips_between_stages": Fact(False, f"{_GRID}/inference.py: bbox_res[:, [0, 2]].clamp_"),
    "grid.tested_stages": Fact(3, "GRID_RCNN.CASCADE_MAPPING_OPTION.TEST_STAGE"),
    "grid.region_ratios": Fact(
        (2.0, 1.5, 1.25), "GRID_RCNN.CASCADE_MAPPING_OPTION.STAGE_MAPPING_RATIO [1 +]"
    ),
    "grid.min_ious": Fact((0.5, 0.6, 0.7), "GRID_RCNN.CASCADE_MAPPING_OPTION.FG_IOU_THRESHOLD"),
    "grid.loss_weights": Fact(
        (15, 7.5, 3.75), "GRID_RCNN.LOSS_WEIGHT [x CASCADE_MAPPING_OPTION.STAGE_WEIGHTS]"
    ),
    "grid.points": Fact(9, "GRID_RCNN.CASCADE_MAPPING_OPTION.GRID_NUM"),
    "grid.convs": Fact(8, "GRID_RCNN.GRID_HEAD.NUM_CONVS"),
    "grid.channels_of_a_point": Fact(64, "GRID_RCNN.GRID_HEAD.POINT_FEAT_CHANNELS"),
    "grid.norm_groups": Fact(
        36, "pet/rcnn/modeling/grid_rcnn/heads/grid_heads.py: 4 * self.grid_points"
    ),
    "grid.fusion": Fact(False, "GRID_RCNN.FUSED_ON"),
    "grid.init": Fact(
        "pytorch", "pet/rcnn/modeling/grid_rcnn/heads/grid_heads.py: __init__ [calls none]"
    ),
    "grid.peak_radius": Fact(1, "GRID_RCNN.POS_RADIUS"),
    "grid.min_region": Fact(3, f"{_GRID}/loss.py: pos_bbox_ws[i] <= self.grid_size"),
    "grid.votes_by_probability": Fact(True, f"{_GRID}/inference.py: grid_pred.sigmoid()"),
}
_ISM = {
    "ism": Fact(True, "GRID_RCNN.IOU_HELPER"),
    "ism.loss": Fact("l2", f"{_GRID}/loss.py: l2_loss"),
    "ism.loss_weight": Fact(1.0, "GRID_RCNN.IOU_LOSS_WEIGHT"),
    "ism.fcs": Fact((1024, 1024), "pet/rcnn/modeling/grid_rcnn/outputs.py: iou_fc2"),
    "ism.learns_from": Fact("input", f"{_GRID}/loss.py: match_quality_matrixs [of subsample]"),
    "ism.learns_from_objects": Fact(True, f"{_GRID}/inference.py: add_gt_proposals"),
}
_RSM = {
    "rsm": Fact(True, "GRID_RCNN.RESCORE_ON"),
    "rsm.convs": _ROI_FEATURES["roi.convs"],
    "rsm.fcs": Fact((1024, 1024), "GRID_RCNN.MLP_HEAD.MLP_DIM [x 2]"),
    "rsm.samples": Fact(512, "GRID_RCNN.BATCH_SIZE_PER_IMAGE"),
    "rsm.positive_fraction": Fact(0.25, "GRID_RCNN.POSITIVE_FRACTION"),
    "rsm.positive_iou": Fact(0.5, "GRID_RCNN.FG_IOU_THRESHOLD"),
    "rsm.loss_weight": Fact(1.0, "GRID_RCNN.RESCORE_LOSS_WEIGHT"),
    # Of the last stage, in front of it.
    "rsm.learns_from": Fact("input", f"{_GRID}/grid_cascade_rcnn.py: _forward_train_rescore"),
    "score.gamma": Fact(0.8, f"{_GRID}/inference.py: weight = (0.8, 0.2)"),
}

_BOX_HEAD = {
    **_ROI_FEATURES,
    "roi.samples": Fact(512, "FAST_RCNN.BATCH_SIZE_PER_IMAGE"),
    "roi.positive_fraction": Fact(0.25, "FAST_RCNN.POSITIVE_FRACTION"),
    "roi.pooled_size": Fact(7, "FAST_RCNN.ROI_XFORM_RESOLUTION"),
    "roi.pooling": Fact("align", "FAST_RCNN.ROI_XFORM_METHOD"),
    "roi.samples_a_side": Fact(2, "FAST_RCNN.ROI_XFORM_SAMPLING_RATIO"),
    "roi.fcs": Fact((1024, 1024), "FAST_RCNN.MLP_HEAD.MLP_DIM [x 2]"),
    "roi.max_side_ratio": _PROPOSALS["rpn.max_side_ratio"],
    "roi.shrinking_is_bounded": _PROPOSALS["rpn.shrinking_is_bounded"],
    "roi.class_loss_weight": Fact(1.0, "pet/rcnn/modeling/fast_rcnn/loss.py: box_loss"),
    "roi.box_loss": Fact(("smooth L1", 1), "FAST_RCNN.SMOOTH_L1_BETA"),
    "roi.box_loss_weight": Fact(1.0, "pet/rcnn/modeling/fast_rcnn/loss.py: box_loss"),
    "roi.score_threshold": Fact(0.05, "FAST_RCNN.SCORE_THRESH"),
    "roi.nms": Fact(0.5, "FAST_RCNN.NMS"),
    "roi.detections": Fact(100, "FAST_RCNN.DETECTIONS_PER_IMG"),
}
_CASCADE = {
    **_BOX_HEAD,
    "roi.kind": Fact("ScoredCascadeROIHeads", "MODEL.CASCADE_ON"),
    "roi.positive_iou": Fact((0.5, 0.6), "CASCADE_RCNN.FG_IOU_THRESHOLD [2 stages]"),
    "roi.box_stds": Fact(
        ((0.1, 0.1, 0.2, 0.2), (0.05, 0.05, 0.1, 0.1)),
        "CASCADE_RCNN.BBOX_REG_WEIGHTS [1 /, 2 stages]",
    ),
    "roi.class_agnostic": Fact(True, "MODEL.CLS_AGNOSTIC_BBOX_REG"),
    "roi.stage_weights": Fact((1.0, 0.5), "CASCADE_RCNN.STAGE_WEIGHTS [2 stages]"),
    "ism": Fact(False, "CASCADE_RCNN.IOU_HELPER"),
    "rsm": Fact(False, "CASCADE_RCNN.RESCORE_ON"),
}
_CASCADE_COMMON = edited(
    {**_COMMON, **_CASCADE},
    schedule__iterations=Fact(90_000, "SOLVER.MAX_ITER"),
    schedule__steps=Fact((60_000, 80_000), "SOLVER.STEPS"),
)
_CASCADE_ISM = {
    "ism": Fact(True, "CASCADE_RCNN.IOU_HELPER"),
    "ism.loss": Fact("l2", "pet/rcnn/modeling/cascade_rcnn/loss.py: l2_loss"),
    "ism.loss_weight": Fact(1.0, "CASCADE_RCNN.IOU_LOSS_WEIGHT"),
    "ism.fcs": Fact((1024, 1024), "pet/rcnn/modeling/cascade_rcnn/outputs.py: iou_fc2"),
    "ism.learns_from": Fact("input", "pet/rcnn/modeling/cascade_rcnn/loss.py: prepare_targets"),
    "ism.learns_from_objects": Fact(
        True, "pet/rcnn/modeling/cascade_rcnn/inference.py: add_gt_proposals"
    ),
}
_CASCADE_RSM = edited(
    _RSM,
    rsm=Fact(True, "CASCADE_RCNN.RESCORE_ON"),
    rsm__loss_weight=Fact(0.2, "CASCADE_RCNN.RESCORE_LOSS_WEIGHT"),
    rsm__learns_from=Fact(
        "input", "pet/rcnn/modeling/cascade_rcnn/cascade_rcnn.py: _forward_train_rescore"
    ),
)

_CPM_RCNN = {**_COMMON, **_CLASSIFIER, **_GRID_STAGES, **_ISM, **_RSM}


def _larger(file: str) -> str:
    return f"{_RESCORE}/backbone/e2e_grid_cascade@567_rcnn_{file}.yaml"


_RESNEXT = edited(
    _CPM_RCNN,
    backbone__depth=None,
    backbone__blocks=Fact((3, 4, 23, 3), "BACKBONE.RESNEXT.LAYERS"),
    backbone__groups=Fact((64,) * 4, "BACKBONE.RESNEXT.C"),
    backbone__group_widths=Fact((4, 8, 16, 32), "BACKBONE.RESNEXT.WIDTH [doubled by stage]"),
    backbone__widths=Fact(
        (256, 512, 1024, 2048), "pet/models/imagenet/resnext.py: expansion [4 x 64, doubled]"
    ),
    backbone__strides=Fact((1, 2, 2, 2), "pet/rcnn/modeling/backbone/ResNeXt.py: _make_layer"),
    backbone__kinds=Fact(
        ("BottleneckBlock",) + ("DeformBottleneckBlock",) * 3, "BACKBONE.RESNEXT.STAGE_WITH_CONV"
    ),
    backbone__stride_in=Fact("3x3", "pet/models/imagenet/resnext.py: conv2"),
    backbone__frozen_stages=Fact(1, "BACKBONE.RESNEXT.FREEZE_AT [2: stem and first stage]"),
    backbone__weights=Fact("resnext101b_64x4d-convert.pth", "TRAIN.WEIGHTS"),
    grid__rois_of_an_image=Fact(32, "GRID_RCNN.MAX_SAMPLE_NUM_GRID"),
)

TABLES = [
    Table("cpm_rcnn/cpm_rcnn_r50_fpn_2x.py", _CPM, _CPM_RCNN),
    Table(
        "cpm_rcnn/cpm_rcnn_r101_fpn_2x.py",
        _larger("R-101-FPN_2x"),
        edited(
            _CPM_RCNN,
            backbone__depth=Fact(101, "BACKBONE.RESNET.LAYERS [(3, 4, 23, 3)]"),
            backbone__weights=Fact("MSRA", "TRAIN.WEIGHTS [resnet101_caffe.pth]"),
        ),
    ),
    Table(
        "cpm_rcnn/cpm_rcnn_x101_64x4d_dcn_fpn_2x.py",
        _larger("X-101b-64x4d-FPN-DCN_2x"),
        _RESNEXT,
    ),
    Table(
        "cpm_rcnn/cpm_rcnn_x101_64x4d_dcn_ms_fpn_2x.py",
        _larger("X-101b-64x4d-FPN_2x_ms"),
        edited(
            _RESNEXT,
            images__train_short_side=Fact((600, 640, 672, 704, 736, 768, 800, 864), "TRAIN.SCALES"),
            images__train_short_side_drawn=Fact(
                "choice", "pet/utils/data/transforms/transforms.py: random.choice(self.min_size)"
            ),
            backbone__weights=Fact("resnext101_32x8d-8ba56ff5.pth", "TRAIN.WEIGHTS"),
        ),
    ),
    # No released file is of it. Its heads are the defaults of the code, pooled as Cascade R-CNN's;
    # the rest is CPM R-CNN's.
    Table(
        "cpm_rcnn/faster_rcnn_r50_fpn_2x.py",
        f"{_CPM}; of the heads pet/rcnn/core/config.py",
        {
            **_COMMON,
            **_BOX_HEAD,
            "roi.kind": Fact("StandardROIHeads", "MODEL.FASTER_RCNN"),
            "roi.positive_iou": Fact(0.5, "FAST_RCNN.FG_IOU_THRESHOLD"),
            "roi.box_stds": Fact((0.1, 0.1, 0.2, 0.2), "FAST_RCNN.BBOX_REG_WEIGHTS [1 /]"),
            "roi.class_agnostic": Fact(False, "MODEL.CLS_AGNOSTIC_BBOX_REG"),
        },
    ),
    Table("cpm_rcnn/ablations/cascade_rcnn_r50_fpn_1x.py", _cascade(""), _CASCADE_COMMON),
    Table(
        "cpm_rcnn/ablations/cascade_rcnn_ism_r50_fpn_1x.py",
        _cascade("ISM/"),
        {
            **_CASCADE_COMMON,
            **_CASCADE_ISM,
            "ism.loss_weight": Fact(1.5, "CASCADE_RCNN.IOU_LOSS_WEIGHT"),
        },
    ),
    Table(
        "cpm_rcnn/ablations/cascade_rcnn_rsm_r50_fpn_1x.py",
        _cascade("RSM/"),
        {**_CASCADE_COMMON, **_CASCADE_RSM},
    ),
    Table(
        "cpm_rcnn/ablations/cascade_rcnn_ism_rsm_r50_fpn_1x.py",
        _cascade("ISM+RSM/"),
        {**_CASCADE_COMMON, **_CASCADE_ISM, **_CASCADE_RSM},
    ),
]
