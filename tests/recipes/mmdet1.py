"""What the configs of mmdet 1.0rc have in common, in the copy of Cascade RPN's authors.

Each part was read in every file that is said to have it. Places without a file are keys of the
table's own file.
"""

from __future__ import annotations

from .table import Fact, epochs

REPOSITORY = "github.com/thangvubk/Cascade-RPN at c832973b8d849acbe4c0ebf75f353c7f48ec457b"

# Eight GPUs of two images: README.md, "We train ... with 8 GPUs and 2 img/GPU".
SCHEDULE_1X = {
    "schedule.batch": Fact(16, "data.imgs_per_gpu [x 8 GPUs, README.md]"),
    "schedule.iterations": Fact(*epochs(12), "total_epochs [x 7330]"),
    "schedule.steps": Fact(epochs(8, 11), "lr_config.step [x 7330]"),
    "schedule.step_factor": Fact(0.1, "mmcv 0.2, StepLrUpdaterHook: gamma"),
    "schedule.warmup_iterations": Fact(500, "lr_config.warmup_iters"),
    "schedule.warmup_factor": Fact(1.0 / 3, "lr_config.warmup_ratio"),
    "schedule.half_precision": Fact(False, "mmdet/apis/train.py: cfg.get('fp16', None)"),
    "schedule.weight_averaging": Fact(False, "mmdet/apis/train.py: no hook of it"),
}

SGD = {
    "optimizer.kind": Fact("SGD", "optimizer.type"),
    "optimizer.lr": Fact(0.02, "optimizer.lr"),
    "optimizer.bias_lr_factor": Fact(1.0, "mmdet/apis/train.py: if paramwise_options is None"),
    "optimizer.momentum": Fact(0.9, "optimizer.momentum"),
    "optimizer.nesterov": Fact(False, "torch.optim.SGD: default"),
    "optimizer.dampening": Fact(0, "torch.optim.SGD: default"),
    "optimizer.weight_decay": Fact(0.0001, "optimizer.weight_decay"),
    "optimizer.weight_decay_of_biases": Fact(0.0001, "optimizer.weight_decay"),
    "optimizer.weight_decay_of_norms": Fact(0.0001, "optimizer.weight_decay"),
    "optimizer.max_gradient_norm": Fact(35, "optimizer_config.grad_clip.max_norm"),
}

_IMAGES = {
    "images.train_short_side": Fact(800, "train_pipeline: Resize"),
    "images.train_long_side": Fact(1333, "train_pipeline: Resize"),
    "images.test_short_side": Fact(800, "test_pipeline: MultiScaleFlipAug"),
    "images.test_long_side": Fact(1333, "test_pipeline: MultiScaleFlipAug"),
    "images.train_set": Fact("coco_2017_train", "data.train.ann_file"),
    "images.train_without_objects": Fact(False, "mmdet/datasets/coco.py: _filter_imgs"),
    "images.grouped_by_shape": Fact(True, "mmdet/datasets/loader/build_loader.py: GroupSampler"),
    "images.flip": Fact(0.5, "train_pipeline: RandomFlip"),
}

_FPN = {
    "backbone.depth": Fact(50, "model.backbone.depth"),
    "backbone.frozen_stages": Fact(1, "model.backbone.frozen_stages"),
    "fpn.inputs": Fact(("res2", "res3", "res4", "res5"), "model.neck.in_channels"),
    "fpn.channels": Fact(256, "model.neck.out_channels"),
    "fpn.norm": Fact("", "mmdet/models/necks/fpn.py: norm_cfg=None"),
    "fpn.coarser": Fact("LastLevelMaxPool", "mmdet/models/necks/fpn.py: max_pool2d"),
}

# The two styles of ResNets: where a block strides, whose weights, and which pixels they take.
CAFFE = {
    **_IMAGES,
    **_FPN,
    "images.channels": Fact("BGR", "img_norm_cfg.to_rgb"),
    "images.mean": Fact((102.9801, 115.9465, 122.7717), "img_norm_cfg.mean"),
    "images.std": Fact((1.0, 1.0, 1.0), "img_norm_cfg.std"),
    "backbone.stride_in": Fact("1x1", "model.backbone.style"),
    "backbone.norm": Fact("frozen", "model.backbone.norm_cfg.requires_grad"),
    "backbone.stem_norm": Fact("frozen", "model.backbone.norm_cfg.requires_grad"),
    "backbone.weights": Fact("MSRA", "model.pretrained [resnet50_caffe]"),
}
PYTORCH = {
    **_IMAGES,
    **_FPN,
    "images.channels": Fact("RGB", "img_norm_cfg.to_rgb"),
    "images.mean": Fact((123.675, 116.28, 103.53), "img_norm_cfg.mean"),
    "images.std": Fact((58.395, 57.12, 57.375), "img_norm_cfg.std"),
    "backbone.stride_in": Fact("3x3", "model.backbone.style"),
    "backbone.norm": Fact("fixed statistics", "mmdet/models/backbones/resnet.py: norm_eval=True"),
    "backbone.stem_norm": Fact(
        "fixed statistics", "mmdet/models/backbones/resnet.py: norm_eval=True"
    ),
    "backbone.weights": Fact("torchvision", "model.pretrained"),
}


def caffe_by(where: str) -> dict[str, Fact]:
    """The caffe style, of an experiment whose file has the other one.

    Args:
        where: what says that it is this one.
    """
    pixels = ("images.channels", "images.mean", "images.std")
    return {
        key: Fact(fact.value, where) if key.startswith("backbone.") or key in pixels else fact
        for key, fact in CAFFE.items()
    }


PYRAMID = ("p2", "p3", "p4", "p5", "p6")

# Anchors are rounded to pixels that count inclusively, around (stride - 1) / 2; in continuous
# coordinates that is half a stride inside their cell.
_CENTER = Fact(0.5, "mmdet/core/anchor/anchor_generator.py: x_ctr = 0.5 * (w - 1)")

RPN = {
    "proposals.min_original_size": Fact(0, "test_cfg.rpn.min_bbox_size [of the resized image]"),
    "proposals.kind": Fact("StandardRPN", "model.rpn_head.type [RPNHead]"),
    "proposals.maps": Fact(PYRAMID, "model.rpn_head.anchor_strides"),
    "anchors.sizes": Fact(
        ((32,), (64,), (128,), (256,), (512,)),
        "model.rpn_head.anchor_scales [x anchor_strides]",
    ),
    "anchors.ratios": Fact((0.5, 1.0, 2.0), "model.rpn_head.anchor_ratios"),
    "anchors.strides": Fact((4, 8, 16, 32, 64), "model.rpn_head.anchor_strides"),
    "anchors.offset": _CENTER,
    "rpn.channels": Fact(256, "model.rpn_head.feat_channels"),
    "rpn.convs": Fact(1, "mmdet/models/anchor_heads/rpn_head.py: rpn_conv"),
    "rpn.anchors_per_cell": Fact(3, "model.rpn_head.anchor_ratios [1 scale x 3]"),
    "rpn.border": Fact(0, "train_cfg.rpn.allowed_border"),
    "rpn.match_across_border": Fact(
        False, "mmdet/core/anchor/anchor_target.py: flat_anchors[inside_flags, :]"
    ),
    "rpn.positive_iou": Fact(0.7, "train_cfg.rpn.assigner.pos_iou_thr"),
    "rpn.negative_iou": Fact(0.3, "train_cfg.rpn.assigner.neg_iou_thr"),
    "rpn.min_positive_iou": Fact(0.3, "train_cfg.rpn.assigner.min_pos_iou"),
    "rpn.claimed_boxes": Fact(
        "match", "mmdet/core/bbox/assigners/max_iou_assigner.py: gt_max_assign_all=True"
    ),
    "rpn.samples": Fact(256, "train_cfg.rpn.sampler.num"),
    "rpn.positive_fraction": Fact(0.5, "train_cfg.rpn.sampler.pos_fraction"),
    "rpn.losses_per": Fact(
        "sample", "mmdet/models/anchor_heads/anchor_head.py: num_total_pos + num_total_neg"
    ),
    "rpn.box_stds": Fact((1.0, 1.0, 1.0, 1.0), "model.rpn_head.target_stds"),
    "rpn.max_side_ratio": Fact(1000 / 16, "mmdet/core/bbox/transforms.py: wh_ratio_clip"),
    "rpn.shrinking_is_bounded": Fact(
        True, "mmdet/core/bbox/transforms.py: clamp(min=-max_ratio, max=max_ratio)"
    ),
    "rpn.box_loss": Fact(("smooth L1", 1 / 9), "model.rpn_head.loss_bbox.beta"),
    "rpn.box_loss_weight": Fact(1.0, "model.rpn_head.loss_bbox.loss_weight"),
    "rpn.class_loss": Fact("cross entropy", "model.rpn_head.loss_cls.type"),
    "rpn.class_loss_weight": Fact(1.0, "model.rpn_head.loss_cls.loss_weight"),
    "images.divisor": Fact(32, "train_pipeline: Pad"),
}

# Of the RPN beneath Faster R-CNN, Cascade R-CNN and Grid R-CNN.
RPN_OF_A_DETECTOR = {
    **RPN,
    "proposals.train_before_nms": Fact(2000, "train_cfg.rpn_proposal.nms_pre"),
    "proposals.train_count": Fact(2000, "train_cfg.rpn_proposal.max_num"),
    "proposals.test_before_nms": Fact(1000, "test_cfg.rpn.nms_pre"),
    "proposals.test_count": Fact(1000, "test_cfg.rpn.max_num"),
    "proposals.nms": Fact(0.7, "test_cfg.rpn.nms_thr"),
    "proposals.nms_across_levels": Fact(False, "test_cfg.rpn.nms_across_levels"),
    "proposals.min_size": Fact(0, "test_cfg.rpn.min_bbox_size"),
    "proposals.in_padding": Fact(
        True, "mmdet/models/anchor_heads/rpn_head.py: get_bboxes_single [all cells]"
    ),
}

# Heads on RoIs, whatever they make of them.
ROI_FEATURES = {
    "roi.classes": Fact(80, "model.bbox_head.num_classes [less the background]"),
    "roi.maps": Fact(PYRAMID[:4], "model.bbox_roi_extractor.featmap_strides"),
    "roi.objects_are_proposals": Fact(True, "train_cfg.rcnn.sampler.add_gt_as_proposals"),
    "roi.pooled_size": Fact(7, "model.bbox_roi_extractor.roi_layer.out_size"),
    "roi.pooled_strides": Fact((4, 8, 16, 32), "model.bbox_roi_extractor.featmap_strides"),
    "roi.finest_side": Fact(56, "mmdet/models/roi_extractors/single_level.py: finest_scale=56"),
    "roi.pooling": Fact("align", "model.bbox_roi_extractor.roi_layer.type"),
    "roi.half_pixel_shift": Fact(False, "mmdet/ops/roi_align/src/roi_align_kernel.cu: roi_start_w"),
    "roi.samples_a_side": Fact(2, "model.bbox_roi_extractor.roi_layer.sample_num"),
    "roi.fcs": Fact((1024, 1024), "model.bbox_head.fc_out_channels [x num_fcs]"),
    "roi.convs": Fact((), "mmdet/models/bbox_heads/convfc_bbox_head.py: num_shared_convs=0"),
}

# Fast R-CNN's head as the baselines have it.
FAST_RCNN = {
    **ROI_FEATURES,
    "roi.kind": Fact("StandardROIHeads", "model.type"),
    "roi.samples": Fact(512, "train_cfg.rcnn.sampler.num"),
    "roi.positive_fraction": Fact(0.25, "train_cfg.rcnn.sampler.pos_fraction"),
    "roi.positive_iou": Fact(0.5, "train_cfg.rcnn.assigner.pos_iou_thr"),
    "roi.box_stds": Fact((0.1, 0.1, 0.2, 0.2), "model.bbox_head.target_stds"),
    "roi.max_side_ratio": RPN["rpn.max_side_ratio"],
    "roi.shrinking_is_bounded": Fact(
        True, "mmdet/core/bbox/transforms.py: clamp(min=-max_ratio, max=max_ratio)"
    ),
    "roi.class_agnostic": Fact(False, "model.bbox_head.reg_class_agnostic"),
    "roi.class_loss_weight": Fact(1.0, "model.bbox_head.loss_cls.loss_weight"),
    "roi.box_loss": Fact(("smooth L1", 1.0), "model.bbox_head.loss_bbox.beta"),
    "roi.box_loss_weight": Fact(1.0, "model.bbox_head.loss_bbox.loss_weight"),
    "roi.score_threshold": Fact(0.05, "test_cfg.rcnn.score_thr"),
    "roi.nms": Fact(0.5, "test_cfg.rcnn.nms.iou_thr"),
    "roi.detections": Fact(100, "test_cfg.rcnn.max_per_img"),
}
