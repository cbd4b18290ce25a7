"""Grid R-CNN, as mmdet has it, and Grid R-CNN Plus, as its authors have it."""

from __future__ import annotations

from .mmdet1 import FAST_RCNN, PYTORCH, REPOSITORY, RPN_OF_A_DETECTOR, SCHEDULE_1X, SGD
from .table import Fact, Table, edited, epochs

_FILE = "grid_rcnn/grid_rcnn_gn_head_r50_fpn_2x.py"
# The one with continuous coordinates, from 2020 on.
_MMDET2 = (
    "github.com/open-mmlab/mmdetection at 3bef4d53c96508ec2b4df054606b9bec60bbcd67, "
    "configs/grid_rcnn/grid_rcnn_r50_fpn_gn-head_2x_coco.py"
)
_MMDET3_1X = (
    "github.com/open-mmlab/mmdetection at 19bceba56284d440278e80cfde1d95460330ccbb, "
    "configs/grid_rcnn/grid-rcnn_r50_fpn_gn-head_1x_coco.py"
)
_PLUS = (
    "github.com/STVIR/Grid-R-CNN at a17cab48e00638114dad011de30bc6796f6c14b6, "
    "configs/grid_rcnn_r50_fpn_2x.py"
)
_HEAD = "mmdet/models/mask_heads/grid_head.py"
_DETECTOR = "mmdet/models/detectors/grid_rcnn.py"

# Boxes are not regressed: with_reg=False.
_CLASSIFIER = edited(
    FAST_RCNN,
    roi__box_stds=None,
    roi__max_side_ratio=None,
    roi__shrinking_is_bounded=None,
    roi__class_agnostic=None,
    roi__box_loss=None,
    roi__box_loss_weight=None,
    roi__kind=Fact("GridROIHeads", "model.type"),
    roi__class_loss_weight=Fact(1.0, "mmdet/models/bbox_heads/bbox_head.py: loss_weight=1.0"),
    roi__score_threshold=Fact(0.03, "test_cfg.rcnn.score_thr"),
    roi__nms=Fact(0.3, "test_cfg.rcnn.nms.iou_thr"),
)
_GRID = {
    "grid.pooled_size": Fact(14, "model.grid_roi_extractor.roi_layer.out_size"),
    "grid.pooled_strides": Fact((4, 8, 16, 32), "model.grid_roi_extractor.featmap_strides"),
    "grid.finest_side": _CLASSIFIER["roi.finest_side"],
    "grid.pooling": Fact("align", "model.grid_roi_extractor.roi_layer.type"),
    "grid.half_pixel_shift": _CLASSIFIER["roi.half_pixel_shift"],
    "grid.samples_a_side": Fact(2, "model.grid_roi_extractor.roi_layer.sample_num"),
    # 192 of a GPU, which has two images, whatever each of them has of these.
    "grid.rois_of_an_image": Fact(96, "train_cfg.rcnn.max_num_grid [/ data.imgs_per_gpu]"),
    "grid.jitter": Fact(0.15, f"{_DETECTOR}: amplitude=0.15"),
    "grid.clips_between_stages": Fact(False, f"{_DETECTOR}: self.grid_head"),
    "grid.tested_stages": Fact(1, f"{_DETECTOR}: self.grid_head"),
    "grid.region_ratios": Fact((2.0,), f"{_HEAD}: widths / 2"),
    # The positives of the classification.
    "grid.min_ious": Fact((0.5,), "train_cfg.rcnn.assigner.pos_iou_thr"),
    "grid.loss_weights": Fact((15,), "model.grid_head.loss_grid.loss_weight"),
    "grid.points": Fact(9, "model.grid_head.grid_points"),
    "grid.convs": Fact(8, "model.grid_head.num_convs"),
    "grid.channels_of_a_point": Fact(64, "model.grid_head.point_feat_channels"),
    "grid.norm_groups": Fact(36, "model.grid_head.norm_cfg.num_groups"),
    "grid.fusion": Fact(True, f"{_HEAD}: sorder_trans"),
    "grid.init": Fact("mmdet", f"{_HEAD}: kaiming_init [fan_out]"),
    "grid.peak_radius": Fact(1, "train_cfg.rcnn.pos_radius"),
    "grid.min_region": Fact(3, f"{_HEAD}: pos_bbox_ws[i] <= self.grid_size"),
    "grid.votes_by_probability": Fact(True, f"{_HEAD}: grid_pred.sigmoid()"),
}
_MODEL = {**PYTORCH, **RPN_OF_A_DETECTOR, **_CLASSIFIER, **_GRID}

_SCHEDULE_2X = edited(
    SCHEDULE_1X,
    schedule__iterations=Fact(*epochs(25), "total_epochs [x 7330]"),
    schedule__steps=Fact(epochs(17, 23), "lr_config.step [x 7330]"),
    schedule__warmup_iterations=Fact(3665, "lr_config.warmup_iters"),
    schedule__warmup_factor=Fact(1.0 / 80, "lr_config.warmup_ratio"),
)
_SGD = edited(SGD, optimizer__max_gradient_norm=Fact(None, "optimizer_config.grad_clip"))

# Boxes without the last pixel, and what this made of anchors and of RoIAlign.
_CONTINUOUS = {
    "anchors.offset": Fact(0.0, "mmdet/core/anchor/anchor_generator.py: center_offset=0."),
    "roi.half_pixel_shift": Fact(True, "mmcv/ops/roi_align.py: aligned=True"),
    "roi.samples_a_side": Fact(0, "model.roi_head.bbox_roi_extractor.roi_layer.sampling_ratio"),
    "grid.half_pixel_shift": Fact(True, "mmcv/ops/roi_align.py: aligned=True"),
    "grid.samples_a_side": Fact(0, "model.roi_head.grid_roi_extractor.roi_layer.sampling_ratio"),
}
_SCHEDULE_1X = {
    **SCHEDULE_1X,
    "schedule.iterations": Fact(*epochs(12), "train_cfg.max_epochs [x 7330]"),
    "schedule.steps": Fact(epochs(8, 11), "param_scheduler.1.milestones [x 7330]"),
    "schedule.warmup_iterations": Fact(500, "param_scheduler.0.end"),
    "schedule.warmup_factor": Fact(0.0001, "param_scheduler.0.start_factor"),
}

_PLUS_MODEL = edited(
    _MODEL,
    # Written differently in that file.
    roi__class_loss_weight=Fact(
        1.0, "mmdet/models/bbox_heads/convfc_bbox_head.py: SharedFCBBoxHeadGrid"
    ),
    rpn__box_loss=Fact(("smooth L1", 1 / 9), "train_cfg.rpn.smoothl1_beta"),
    rpn__box_loss_weight=Fact(1.0, "mmdet/models/anchor_heads/anchor_head.py: loss_single"),
    rpn__class_loss=Fact("cross entropy", "model.rpn_head.use_sigmoid_cls"),
    rpn__class_loss_weight=Fact(1.0, "mmdet/models/anchor_heads/anchor_head.py: loss_single"),
    images__divisor=Fact(32, "data.train.size_divisor"),
    grid__loss_weights=Fact((15,), f"{_HEAD}: grid_loss * 15"),
    grid__points=Fact(9, "model.grid_head.num_grids"),
    grid__channels_of_a_point=Fact(64, "model.grid_head.conv_out_channels [/ num_grids]"),
    grid__norm_groups=Fact(36, f"{_HEAD}: nn.GroupNorm(36, ...)"),
    grid__fusion=Fact(True, f"{_HEAD}: secondOrderConvs"),
    grid__init=Fact("plus", f"{_HEAD}: kaiming_normal_ [fan_in]"),
    grid__peak_radius=Fact(1, "mmdet/core/mask/grid_target.py: cfg.get('radius',1)"),
    grid__min_region=Fact(4, "mmdet/core/mask/grid_target.py: < 4"),
    grid__jitter=Fact(0.15, "mmdet/core/mask/grid_target.py: amplitude=0.15"),
    grid__votes_by_probability=Fact(True, f"{_HEAD}: torch.sigmoid(grid_pred)"),
)
_PLUS_TRAINING = {
    **SGD,
    **edited(
        _SCHEDULE_2X,
        schedule__batch=Fact(64, "README.md: 32 GPUs/2 images per GPU"),
        schedule__iterations=Fact(*epochs(25, batch=64), "total_epochs [x 1833]"),
        schedule__steps=Fact(epochs(17, 23, batch=64), "lr_config.step [x 1833]"),
    ),
    "optimizer.lr": Fact(0.08, "optimizer.lr"),
}

TABLES = [
    Table(
        "grid_rcnn/grid_rcnn_r50_fpn_2x.py",
        _MMDET2,
        {**_SCHEDULE_2X, **_SGD, **_MODEL, **_CONTINUOUS},
        scales=("default",),
    ),
    # What mmdet's published models were trained with.
    Table(
        "grid_rcnn/grid_rcnn_r50_fpn_2x.py",
        f"{REPOSITORY}, configs/{_FILE}",
        {**_SCHEDULE_2X, **_SGD, **_MODEL},
        scales=("full",),
    ),
    Table(
        "grid_rcnn/grid_rcnn_r50_fpn_1x.py",
        f"{_MMDET3_1X}, which changes {_MMDET2}",
        {**_SCHEDULE_1X, **_SGD, **_MODEL, **_CONTINUOUS},
        scales=("default",),
    ),
    Table("grid_rcnn/grid_rcnn_plus_r50_fpn_2x.py", _PLUS, {**_PLUS_TRAINING, **_PLUS_MODEL}),
]
