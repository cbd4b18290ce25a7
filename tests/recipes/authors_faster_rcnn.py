"""Faster R-CNN with VGG-16 on COCO, as its authors have it.

The paper is Ren et al., arXiv:1506.01497v3; what it leaves open is that of their code for joint
training on COCO.
"""

from __future__ import annotations

import math

from .table import Fact, Table, edited

_SOURCE = (
    "arXiv:1506.01497v3; github.com/rbgirshick/py-faster-rcnn at "
    "781a917b378dbfdedb45b6a56189a31982da1b43, lib/fast_rcnn/config.py"
)
_NET = "models/coco/VGG16/faster_rcnn_end2end/train.prototxt"
_SOLVER = "models/coco/VGG16/faster_rcnn_end2end/solver.prototxt"
_ANCHORS = "lib/rpn/anchor_target_layer.py"

_FACTS = {
    "schedule.batch": Fact(8, "paper: section 4.2, 8 GPUs, an image each for RPN"),
    "schedule.iterations": Fact(320_000, "paper: section 4.2, 240k + 80k"),
    "schedule.steps": Fact((240_000,), "paper: section 4.2"),
    "schedule.step_factor": Fact(0.1, "paper: section 4.2, 0.003 to 0.0003"),
    "schedule.warmup_iterations": Fact(0, f"{_SOLVER}: none"),
    "schedule.warmup_factor": Fact(1.0, f"{_SOLVER}: none"),
    "schedule.half_precision": Fact(False, f"{_SOLVER}: none"),
    "schedule.weight_averaging": Fact(False, f"{_SOLVER}: none"),
    "optimizer.kind": Fact("SGD", f"{_SOLVER}: type, default"),
    "optimizer.lr": Fact(0.003, "paper: section 4.2"),
    "optimizer.bias_lr_factor": Fact(2.0, f"{_NET}: lr_mult of biases"),
    "optimizer.momentum": Fact(0.9, "paper: section 3.1.3"),
    "optimizer.nesterov": Fact(False, f"{_SOLVER}: type, default"),
    "optimizer.dampening": Fact(0, f"{_SOLVER}: type, default"),
    "optimizer.weight_decay": Fact(0.0005, "paper: section 3.1.3"),
    "optimizer.weight_decay_of_biases": Fact(0.0005, f"{_NET}: decay_mult of biases, default"),
    "optimizer.weight_decay_of_norms": Fact(0.0005, f"{_NET}: there are none"),
    "optimizer.max_gradient_norm": Fact(None, f"{_SOLVER}: clip_gradients, default"),
    "images.train_short_side": Fact(600, "paper: section 3.3; TRAIN.SCALES"),
    "images.train_long_side": Fact(1000, "TRAIN.MAX_SIZE"),
    "images.test_short_side": Fact(600, "TEST.SCALES"),
    "images.test_long_side": Fact(1000, "TEST.MAX_SIZE"),
    "images.train_set": Fact("coco_2014_train", "paper: section 4.2"),
    "images.train_without_objects": Fact(False, "lib/fast_rcnn/train.py: filter_roidb"),
    "images.grouped_by_shape": Fact(True, "TRAIN.ASPECT_GROUPING"),
    "images.flip": Fact(0.5, "TRAIN.USE_FLIPPED"),
    "images.channels": Fact("BGR", "PIXEL_MEANS"),
    "images.mean": Fact((102.9801, 115.9465, 122.7717), "PIXEL_MEANS"),
    "images.std": Fact((1.0, 1.0, 1.0), "lib/utils/blob.py: less the mean alone"),
    # The images of a step are not padded: each is alone on its GPU.
    "images.divisor": Fact(1, "lib/utils/blob.py: im_list_to_blob"),
    "backbone.widths": Fact((64, 128, 256, 512, 512), f"{_NET}: num_output"),
    "backbone.frozen_blocks": Fact(2, f"{_NET}: lr_mult 0 of conv1 and conv2"),
    "backbone.maps": Fact(("conv5",), f"{_NET}: conv5_3"),
    "backbone.weights": Fact("VGG_ILSVRC_16_layers", f"{_NET}: name"),
    "proposals.kind": Fact("StandardRPN", f"{_NET}: rpn_conv/3x3"),
    "proposals.maps": Fact(("conv5",), f"{_NET}: conv5_3"),
    "anchors.sizes": Fact(((64, 128, 256, 512),), "paper: section 4.2, with 64 for COCO"),
    "anchors.ratios": Fact((0.5, 1.0, 2.0), "paper: section 3.3"),
    "anchors.strides": Fact((16,), f"{_NET}: feat_stride"),
    "anchors.offset": Fact(0.5, "lib/rpn/generate_anchors.py: (0, 0, 15, 15)"),
    "rpn.channels": Fact(512, "paper: section 3.1"),
    "rpn.convs": Fact(1, "paper: section 3.1"),
    "rpn.anchors_per_cell": Fact(12, "paper: section 4.2, 4 scales x 3 ratios"),
    "rpn.border": Fact(0, "paper: section 3.3"),
    "rpn.match_across_border": Fact(False, f"{_ANCHORS}: all_anchors[inds_inside]"),
    "rpn.positive_iou": Fact(0.7, "paper: section 3.1.2"),
    "rpn.negative_iou": Fact(0.3, "paper: section 3.1.2"),
    "rpn.min_positive_iou": Fact(0.0, "paper: section 3.1.2, the highest IoU"),
    "rpn.claimed_boxes": Fact("label", f"{_ANCHORS}: gt_boxes[argmax_overlaps]"),
    "rpn.samples": Fact(256, "paper: section 3.1.3"),
    "rpn.positive_fraction": Fact(0.5, "paper: section 3.1.3"),
    "rpn.losses_per": Fact("sample", f"{_ANCHORS}: 1.0 / num_examples"),
    "rpn.box_stds": Fact((1.0, 1.0, 1.0, 1.0), f"{_ANCHORS}: _compute_targets"),
    "rpn.max_side_ratio": Fact(math.inf, "lib/fast_rcnn/bbox_transform.py: no clamp"),
    "rpn.shrinking_is_bounded": Fact(False, "lib/fast_rcnn/bbox_transform.py: no clamp"),
    "rpn.box_loss": Fact(("smooth L1", 1 / 9), f"{_NET}: sigma: 3.0 [1 / sigma ** 2]"),
    "rpn.box_loss_weight": Fact(1, f"{_NET}: loss_weight of rpn_loss_bbox"),
    "rpn.class_loss": Fact("cross entropy", "paper: section 3.1.2, log loss"),
    "rpn.class_loss_weight": Fact(1, f"{_NET}: loss_weight of rpn_loss_cls"),
    "proposals.train_before_nms": Fact(12_000, "TRAIN.RPN_PRE_NMS_TOP_N"),
    "proposals.train_count": Fact(2000, "paper: section 3.3"),
    "proposals.test_before_nms": Fact(6000, "TEST.RPN_PRE_NMS_TOP_N"),
    "proposals.test_count": Fact(300, "paper: section 4.2"),
    "proposals.nms": Fact(0.7, "paper: section 3.3"),
    "proposals.nms_across_levels": Fact(False, f"{_NET}: there is one"),
    "proposals.min_size": Fact(0, "lib/rpn/proposal_layer.py: _filter_boxes [the following]"),
    "proposals.min_original_size": Fact(16, "TRAIN.RPN_MIN_SIZE, TEST.RPN_MIN_SIZE"),
    "proposals.in_padding": Fact(False, "lib/utils/blob.py: there is none"),
    "roi.kind": Fact("StandardROIHeads", f"{_NET}: cls_score, bbox_pred"),
    "roi.classes": Fact(80, f"{_NET}: num_classes [less the background]"),
    "roi.samples": Fact(128, "TRAIN.BATCH_SIZE"),
    "roi.positive_fraction": Fact(0.25, "TRAIN.FG_FRACTION"),
    "roi.positive_iou": Fact(0.5, "TRAIN.FG_THRESH, BG_THRESH_HI; BG_THRESH_LO is 0"),
    "roi.objects_are_proposals": Fact(True, "lib/rpn/proposal_target_layer.py: all_rois"),
    "roi.maps": Fact(("conv5",), f"{_NET}: roi_pool5"),
    "roi.pooled_size": Fact(7, f"{_NET}: pooled_w, pooled_h"),
    "roi.pooled_strides": Fact((16,), f"{_NET}: spatial_scale"),
    "roi.pooling": Fact("max", f"{_NET}: ROIPooling"),
    "roi.fcs": Fact((4096, 4096), f"{_NET}: fc6, fc7"),
    "roi.dropout": Fact(0.0, f"{_NET}: none, unlike that of pascal_voc"),
    "roi.box_stds": Fact((0.1, 0.1, 0.2, 0.2), "TRAIN.BBOX_NORMALIZE_STDS"),
    "roi.max_side_ratio": Fact(math.inf, "lib/fast_rcnn/bbox_transform.py: no clamp"),
    "roi.shrinking_is_bounded": Fact(False, "lib/fast_rcnn/bbox_transform.py: no clamp"),
    "roi.class_agnostic": Fact(False, f"{_NET}: bbox_pred, num_output: 324"),
    "roi.class_loss_weight": Fact(1, f"{_NET}: loss_weight of loss_cls"),
    "roi.box_loss": Fact(("smooth L1", 1.0), f"{_NET}: loss_bbox, sigma by default"),
    "roi.box_loss_weight": Fact(1, f"{_NET}: loss_weight of loss_bbox"),
    "roi.score_threshold": Fact(0.05, "lib/fast_rcnn/test.py: thresh=0.05"),
    "roi.nms": Fact(0.3, "TEST.NMS"),
    "roi.detections": Fact(100, "lib/fast_rcnn/test.py: max_per_image=100"),
}

TABLES = [
    Table("faster_rcnn/faster_rcnn_12_anchors_vgg16.py", _SOURCE, _FACTS),
    # With the anchors of the paper's text and of its numbers on PASCAL VOC.
    Table(
        "faster_rcnn/faster_rcnn_vgg16.py",
        _SOURCE,
        edited(
            _FACTS,
            anchors__sizes=Fact(((128, 256, 512),), "paper: section 3.3"),
            rpn__anchors_per_cell=Fact(9, "paper: section 3.3"),
        ),
    ),
]
