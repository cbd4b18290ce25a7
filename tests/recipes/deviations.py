"""Where we differ from the references on purpose: what we have, and why."""

from __future__ import annotations

from .table import Deviation

# Recipes of mmdet 1.x whose default here is the one of mmdet >= 2.8.
_BY_MMDET = ("cascade_rpn/", "guided_anchoring/")
_BY_PET = ("cpm_rcnn/",)
_PLUS = ("grid_rcnn/grid_rcnn_plus_",)
_VGG = ("faster_rcnn/faster_rcnn_",)
_CASCADE_RPN = ("cascade_rpn/cascade_rpn_",)
# Of their experiments those in the caffe style.
_CAFFE = (
    "cascade_rpn/rpn_",
    "cascade_rpn/fast",
    "cascade_rpn/cascade_rpn_r50_",
    "cascade_rpn/cascade_rpn_fast",
    "guided_anchoring/",
)
_GUIDED = tuple(f"guided_anchoring/ga_{name}_r50" for name in ("rpn", "faster_rcnn", "retinanet"))
_DEFAULT = ("default",)

_GEOMETRY = (
    "Weights of mmdet >= 2.8 need its geometry, and Detectron2 has it; full has the authors'."
)
_AS_OTHERS = (
    "One geometry for all configs of the zoo; full and the folder authors have the authors'."
)

DEVIATIONS = [
    # The default is the recipe of mmdet >= 2.8, which reproduce --scale full changes back.
    Deviation("anchors.offset", 0.0, _GEOMETRY, _BY_MMDET, _DEFAULT),
    Deviation("anchors.offset", 0.0, _AS_OTHERS, (*_BY_PET, *_PLUS), _DEFAULT),
    Deviation("stage2.center_offset", 0.0, _GEOMETRY, _CASCADE_RPN, _DEFAULT),
    Deviation("stage1.edges_at_half_cells", False, _GEOMETRY, _CASCADE_RPN, _DEFAULT),
    Deviation("stage1.keeps_far_border", False, _GEOMETRY, _CASCADE_RPN, _DEFAULT),
    Deviation("stage1.cell_center", 0.0, _GEOMETRY, _CASCADE_RPN, _DEFAULT),
    Deviation("roi.half_pixel_shift", True, _GEOMETRY, _BY_MMDET, _DEFAULT),
    Deviation("roi.samples_a_side", 0, _GEOMETRY, _BY_MMDET, _DEFAULT),
    Deviation("roi.half_pixel_shift", True, _AS_OTHERS, _PLUS, _DEFAULT),
    Deviation("roi.samples_a_side", 0, _AS_OTHERS, _PLUS, _DEFAULT),
    Deviation("grid.half_pixel_shift", True, _AS_OTHERS, _PLUS, _DEFAULT),
    Deviation("grid.samples_a_side", 0, _AS_OTHERS, _PLUS, _DEFAULT),
    Deviation(
        "stage1.ignored_on_adjacent_levels",
        "all",
        "mmdet >= 2.8 mends the exchanged arguments of the authors' code.",
        _CASCADE_RPN,
        _DEFAULT,
    ),
    Deviation(
        "proposals.train_before_nms",
        2000,
        "mmdet 3 takes the file's setting for training, which the authors' code does not read.",
        ("cascade_rpn/cascade_rpn_faster_rcnn_",),
        _DEFAULT,
    ),
    Deviation(
        "schedule.warmup_factor",
        0.001,
        "mmdet >= 2 warms up from a thousandth.",
        _BY_MMDET,
        _DEFAULT,
    ),
    Deviation(
        "images.mean",
        (103.53, 116.28, 123.675),
        "mmdet >= 2 and Detectron2 have this mean for the same weights.",
        _CAFFE,
        _DEFAULT,
    ),
    # In both.
    *(
        Deviation(
            f"{part}.in_padding",
            False,
            "What an image is given does not depend on the images beside it.",
            configs,
        )
        for part, configs in (
            ("proposals", (*_BY_MMDET, *_BY_PET, "grid_rcnn/")),
            ("dense", ("guided_anchoring/ga_retinanet_",)),
        )
    ),
    Deviation(
        "location.overlapping_objects",
        "center",
        "Section 3.4 lets centre come before surroundings, whatever the order of the objects.",
        _GUIDED,
    ),
    *(
        Deviation(
            fact,
            ours,
            "With anchors half a stride inside their cells the released edges would teach the "
            "cells half a stride beside an object's centre.",
            _GUIDED,
            ("full",),
        )
        for fact, ours in (("location.edges_at_half_cells", True), ("location.cell_center", 0.5))
    ),
    Deviation(
        "proposals.test_count",
        1000,
        "As mmdet >= 2 has it; no metric of the tables and no dump for GA-Fast reads beyond these.",
        ("guided_anchoring/ga_rpn_r50_",),
    ),
    Deviation(
        "proposals.test_count",
        1000,
        "As many as Faster R-CNN beside it; the file takes all that a dump has.",
        ("guided_anchoring/fast_rcnn_r50_",),
    ),
    Deviation(
        "dense.losses_per",
        "moving average of positives",
        "The baseline is Detectron2's RetinaNet, which has no other normaliser.",
        ("guided_anchoring/retinanet_",),
    ),
    Deviation(
        "roi.detections",
        96,
        "Section 3.4.3 refines 96 boxes at most; the code has no limit.",
        ("cpm_rcnn/cpm_rcnn_",),
    ),
    Deviation(
        "grid.votes_by_probability",
        False,
        "The same cell but where a head is that sure of several, whose probabilities are all 1.",
        ("cpm_rcnn/cpm_rcnn_",),
    ),
    Deviation(
        "roi.shrinking_is_bounded",
        True,
        "Whose heads the row had is open; here they are those of the other baselines.",
        ("cpm_rcnn/faster_rcnn_r50_",),
    ),
    *(
        Deviation(
            fact,
            ours,
            "Which weights the paper starts from is open; these are mmdet's, with their pixels.",
            ("cpm_rcnn/cpm_rcnn_x101_",),
        )
        for fact, ours in (
            ("images.channels", "RGB"),
            ("images.mean", (123.675, 116.28, 103.53)),
            ("images.std", (58.395, 57.12, 57.375)),
            ("backbone.weights", "mmdet"),
        )
    ),
    # VGG-16.
    *(
        Deviation(fact, ours, "Without a bound boxes of the first steps may overflow.", _VGG)
        for fact, ours in (
            ("rpn.max_side_ratio", 1000 / 16),
            ("roi.max_side_ratio", 1000 / 16),
            ("rpn.shrinking_is_bounded", True),
            ("roi.shrinking_is_bounded", True),
        )
    ),
    Deviation(
        "rpn.min_positive_iou",
        1e-6,
        "An object that no anchor overlaps would claim all of them.",
        _VGG,
    ),
    Deviation(
        "schedule.warmup_iterations",
        500,
        "No norm tames the first steps here, and 500 of 320k change nothing else.",
        _VGG,
    ),
    Deviation("schedule.warmup_factor", 0.001, "As the other configs.", _VGG, _DEFAULT),
    Deviation(
        "schedule.warmup_factor",
        1 / 3,
        "Full warms up from a third wherever a config does from a thousandth.",
        _VGG,
        ("full",),
    ),
    Deviation(
        "images.train_set",
        "coco_2017_train",
        "The split of all other experiments.",
        _VGG,
    ),
    *(
        Deviation(fact, ours, "The weights at hand are torchvision's, with their pixels.", _VGG)
        for fact, ours in (
            ("images.channels", "RGB"),
            ("images.mean", (123.675, 116.28, 103.53)),
            ("images.std", (58.395, 57.12, 57.375)),
            ("backbone.weights", "torchvision"),
        )
    ),
    Deviation(
        "images.divisor",
        16,
        "Eight images of a step are padded to the stride of the map.",
        _VGG,
    ),
    Deviation(
        "roi.dropout",
        0.5,
        "As VGG-16 has it, and py-faster-rcnn for PASCAL VOC.",
        _VGG,
    ),
]
