"""The tables of Guided Anchoring (CVPR 2019): rows, their configs here, and what was published."""

from __future__ import annotations

from cascade_rpn_d2.reproduce import Row, Table
from cascade_rpn_d2.reproduce.table import AVERAGE_PRECISION, AVERAGE_RECALL

AR = AVERAGE_RECALL[:3]


def config(name: str, trunk: str = "r50") -> str:
    return f"guided_anchoring/{name}_{trunk}_fpn_1x.py"


def ablation(name: str) -> str:
    return f"guided_anchoring/ablations/{name}_r50_fpn_1x.py"


def fine_tuning(proposals: str) -> str:
    return f"guided_anchoring/finetune_faster_rcnn_with_{proposals}_r50_fpn.py"


def threshold(value: str) -> tuple[str, ...]:
    return (f"model.proposal_generator.location_threshold={value}",)


RPN, GA_RPN = config("rpn"), config("ga_rpn")
# The weight of the shape's loss is 1 here for the paper's lambda 2 of 0.1.
LAMBDA_2 = "model.proposal_generator.shape.loc_weight"
SIGMA_1 = "model.proposal_generator.location_loss.assigner.center_ratio"
SIGMA_2 = "model.proposal_generator.location_loss.assigner.ignore_ratio"
CASCADE_RPN = "cascade_rpn/cascade_rpn_r50_fpn_1x.py"
FASTER = config("faster_rcnn")

TABLES = {
    "table1": Table(
        "Region proposals",
        AVERAGE_RECALL,
        "COCO val2017",
        (
            Row("SharpMask (ResNet-50)", None, (36.4, None, 48.2, 6.0, 51.0, 66.5), seconds=0.76),
            Row("GCN-NS (VGG-16)", None, (31.6, None, 60.7, None, None, None), seconds=0.10),
            Row("AttractioNet (VGG-16)", None, (53.3, None, 66.2, 31.5, 62.2, 77.7), seconds=4.00),
            Row("ZIP (BN-inception)", None, (53.9, None, 67.0, 31.9, 63.0, 78.5), seconds=1.13),
            Row("RPN", RPN, (47.5, 54.7, 59.4, 31.7, 55.1, 64.6), seconds=0.09),
            Row(
                "RPN, ResNet-152",
                config("rpn", "r152"),
                (51.9, 58.0, 62.0, 36.3, 59.8, 68.1),
                seconds=0.16,
            ),
            Row(
                "RPN, ResNeXt-101",
                config("rpn", "x101_64x4d"),
                (52.8, 58.7, 62.6, 37.3, 60.8, 68.6),
                seconds=0.26,
            ),
            Row(
                "RPN + 9 anchors",
                config("rpn_9_anchors"),
                (46.8, 54.6, 60.3, 29.5, 54.9, 65.6),
                seconds=0.09,
            ),
            Row(
                "RPN + Focal Loss",
                config("rpn_focal"),
                (50.2, 56.6, 60.9, 33.9, 58.2, 67.5),
                seconds=0.09,
            ),
            Row(
                "RPN + Bounded IoU Loss",
                config("rpn_bounded_iou"),
                (48.3, 55.1, 59.6, 33.0, 56.0, 64.3),
                seconds=0.09,
            ),
            Row(
                "RPN + Iterative",
                config("rpn_iterative"),
                (49.7, 56.0, 60.0, 34.7, 58.2, 64.0),
                seconds=0.10,
            ),
            Row(
                "RefineRPN",
                config("refine_rpn"),
                (50.2, 56.3, 60.6, 33.5, 59.1, 66.9),
                seconds=0.11,
            ),
            Row("GA-RPN", GA_RPN, (59.2, 65.2, 68.5, 40.9, 67.8, 79.0), seconds=0.13),
        ),
    ),
    "table2": Table(
        "Detectors with and without guided anchors",
        AVERAGE_PRECISION,
        "COCO test-dev",
        (
            Row(
                "Fast R-CNN",
                config("fast_rcnn"),
                (37.1, 59.6, 39.7, 20.7, 39.5, 47.1),
                proposals=RPN,
            ),
            Row(
                "GA-Fast R-CNN",
                config("ga_fast_rcnn"),
                (39.4, 59.4, 42.8, 21.6, 41.9, 50.4),
                proposals=GA_RPN,
            ),
            Row("Faster R-CNN", FASTER, (37.1, 59.1, 40.1, 21.3, 39.8, 46.5)),
            Row("GA-Faster R-CNN", config("ga_faster_rcnn"), (39.8, 59.2, 43.5, 21.8, 42.6, 50.7)),
            Row("RetinaNet", config("retinanet"), (35.9, 55.4, 38.8, 19.4, 38.9, 46.5)),
            Row("GA-RetinaNet", config("ga_retinanet"), (37.1, 56.9, 40.0, 20.1, 40.1, 48.0)),
        ),
    ),
    "table3": Table(
        "A trained Faster R-CNN, fine-tuned on proposals for a quarter of its training",
        AVERAGE_PRECISION,
        "COCO, images not stated",
        (
            Row("As trained", FASTER, (37.4, 58.9, 40.3, 20.8, 41.1, 49.5)),
            Row(
                "On RPN's proposals",
                fine_tuning("rpn_proposals"),
                (37.3, 58.6, 40.1, 20.4, 40.6, 49.8),
                proposals=RPN,
                fine_tunes=FASTER,
            ),
            Row(
                "On GA-RPN's proposals",
                fine_tuning("proposals"),
                (39.6, 59.3, 43.0, 22.0, 42.8, 52.6),
                proposals=GA_RPN,
                fine_tunes=FASTER,
            ),
            Row(
                "On Cascade RPN's proposals",
                fine_tuning("cascade_rpn_proposals"),
                (None,) * 6,
                proposals=CASCADE_RPN,
                fine_tunes=FASTER,
            ),
        ),
    ),
    "table4": Table(
        "What each module adds: location (L.), shape (S.), feature adaption (F.A.)",
        AVERAGE_RECALL,
        "COCO val2017",
        (
            Row("RPN", RPN, (47.5, 54.7, 59.4, 31.7, 55.1, 64.6)),
            Row("L.", ablation("location"), (48.0, 54.8, 59.5, 32.3, 55.6, 64.8)),
            Row("S.", ablation("shape"), (53.8, 59.9, 63.6, 36.4, 62.9, 71.7)),
            Row("L. + S.", ablation("location_shape"), (54.0, 60.1, 63.8, 36.7, 63.1, 71.5)),
            Row("L. + S. + F.A.", GA_RPN, (59.2, 65.2, 68.5, 40.9, 67.8, 79.0)),
        ),
    ),
    "table5": Table(
        "Location threshold",
        ("anchors/active_per_image", *AR),
        "COCO val2017",
        (
            Row(
                "0",
                GA_RPN,
                (75583, 59.2, 65.2, 68.5),
                weights=GA_RPN,
                seconds=1 / 7.8,
                overrides=threshold("0.0"),
            ),
            Row("0.01", GA_RPN, (22274, 59.2, 65.2, 68.5), seconds=1 / 8.0),
            Row(
                "0.05",
                GA_RPN,
                (5251, 59.1, 65.1, 68.2),
                weights=GA_RPN,
                seconds=1 / 8.2,
                overrides=threshold("0.05"),
            ),
            Row(
                "0.1",
                GA_RPN,
                (2375, 59.0, 64.7, 67.2),
                weights=GA_RPN,
                seconds=1 / 8.2,
                overrides=threshold("0.1"),
            ),
        ),
    ),
    "table6": Table(
        "Centre alignment (C.A.) and feature adaption (F.A.)",
        AVERAGE_RECALL,
        "COCO val2017",
        (
            Row(
                "Neither",
                ablation("predicted_centers_no_adaption"),
                (51.7, 58.0, 61.6, 33.8, 60.9, 70.0),
            ),
            Row("C.A.", ablation("location_shape"), (54.0, 60.1, 63.8, 36.7, 63.1, 71.5)),
            Row("F.A.", ablation("predicted_centers"), (57.2, 63.6, 66.8, 38.3, 66.1, 77.8)),
            Row("C.A. + F.A.", GA_RPN, (59.2, 65.2, 68.5, 40.9, 67.8, 79.0)),
        ),
    ),
    "table7": Table(
        "Fast R-CNN by proposals, their number, and the IoU of positives",
        AVERAGE_PRECISION[:3],
        # Section 4.1 has detection on test-dev, but the last row has other numbers than Table 2.
        "COCO, images not stated",
        tuple(
            Row(
                f"{label}, {number}, 0.{iou // 10}",
                ablation(f"fast_rcnn_{generator}_{number}_iou{iou}")
                if (generator, number, iou) != ("ga_rpn", 300, 60)
                else config("ga_fast_rcnn"),
                published,
                proposals=proposals,
            )
            for generator, label, proposals, number, iou, published in (
                ("rpn", "RPN", RPN, 1000, 50, (36.7, 58.8, 39.3)),
                ("rpn", "RPN", RPN, 1000, 60, (37.2, 57.1, 40.5)),
                ("rpn", "RPN", RPN, 300, 50, (36.1, 57.6, 39.0)),
                ("rpn", "RPN", RPN, 300, 60, (37.0, 56.3, 39.5)),
                ("ga_rpn", "GA-RPN", GA_RPN, 1000, 50, (37.4, 59.9, 40.0)),
                ("ga_rpn", "GA-RPN", GA_RPN, 1000, 60, (38.9, 59.0, 42.4)),
                ("ga_rpn", "GA-RPN", GA_RPN, 300, 50, (37.5, 59.6, 40.4)),
                ("ga_rpn", "GA-RPN", GA_RPN, 300, 60, (39.4, 59.3, 43.2)),
            )
        ),
    ),
    "text": Table(
        "The paper's text: the offsets' source, and the shapes that vIoU tries",
        AR,
        "COCO val2017",
        (
            Row("Offsets learned from features", ablation("learned_offsets"), (56.1, 62.4, 66.1)),
            Row("Offsets from shapes", GA_RPN, (59.2, 65.2, 68.5)),
            Row("vIoU by 3 shapes", ablation("viou_3_shapes"), (None, None, 68.3)),
            Row("vIoU by 15 shapes", ablation("viou_15_shapes"), (None, None, 68.5)),
        ),
    ),
    "hyperparameters": Table(
        "The paper's text: weight of the shape's loss (lambda 2), centre region (sigma 1) and "
        "ignore region (sigma 2)",
        AR,
        "COCO val2017",
        (
            Row("lambda 2 0.1, sigma 1 0.2, sigma 2 0.5", GA_RPN, (59.2, 65.2, 68.5)),
            Row("lambda 2 0.2", GA_RPN, (None, None, 68.4), overrides=(f"{LAMBDA_2}=2.0",)),
            Row("lambda 2 0.05", GA_RPN, (None, None, 68.4), overrides=(f"{LAMBDA_2}=0.5",)),
            Row("lambda 2 0.02", GA_RPN, (None, None, 68.3), overrides=(f"{LAMBDA_2}=0.2",)),
            Row("sigma 1 0.1", GA_RPN, (None, None, None), overrides=(f"{SIGMA_1}=0.1",)),
            Row("sigma 1 0.5", GA_RPN, (None, None, None), overrides=(f"{SIGMA_1}=0.5",)),
            Row("sigma 2 0.2", GA_RPN, (None, None, None), overrides=(f"{SIGMA_2}=0.2",)),
            Row("sigma 2 1.0", GA_RPN, (None, None, None), overrides=(f"{SIGMA_2}=1.0",)),
        ),
    ),
}
