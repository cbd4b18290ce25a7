"""The tables of Cascade RPN (NeurIPS 2019): every row, its config here, and what was published."""

from __future__ import annotations

from cascade_rpn_d2.reproduce import Row, Table
from cascade_rpn_d2.reproduce.table import AVERAGE_PRECISION, AVERAGE_RECALL

AR = AVERAGE_RECALL[:3]


def config(name: str, folder: str = "cascade_rpn") -> str:
    return f"{folder}/{name}_r50_fpn_1x.py"


def ablation(name: str) -> str:
    return config(name, "cascade_rpn/ablations")


def stages(*keys: str) -> tuple[str, ...]:
    """Keys of the stages, such as ``0.bridge``, as a row has them that adds them."""
    return tuple(f"model.proposal_generator.stages.{key}" for key in keys)


RPN, ITERATIVE = config("rpn"), config("iterative_rpn")
ITERATIVE_PLUS, CASCADE = config("iterative_rpn_plus"), config("cascade_rpn")

# Another method; its own paper has slightly other numbers.
GA = config("ga_rpn", "guided_anchoring")

TABLES = {
    "table1": Table(
        "Region proposals",
        AVERAGE_RECALL,
        "COCO val2017",
        (
            Row("SharpMask (ResNet-50)", None, (36.4, None, 48.2, None, None, None), seconds=0.76),
            Row("GCN-NS (VGG-16)", None, (31.6, None, 60.7, None, None, None), seconds=0.10),
            Row("AttractioNet (VGG-16)", None, (53.3, None, 66.2, 31.5, 62.2, 77.7), seconds=4.00),
            Row("ZIP (BN-inception)", None, (53.9, None, 67.0, 31.9, 63.0, 78.5), seconds=1.13),
            Row("RPN", RPN, (44.6, 52.9, 58.3, 29.5, 51.7, 61.4), seconds=0.04),
            Row("Iterative RPN", ITERATIVE, (48.5, 55.4, 58.8, 32.1, 56.9, 65.4), seconds=0.05),
            Row(
                "Iterative RPN+",
                ITERATIVE_PLUS,
                (54.0, 60.4, 63.0, 35.6, 62.7, 73.9),
                seconds=0.06,
            ),
            Row("GA-RPN", GA, (59.1, 65.1, 68.5, 40.7, 68.2, 78.4), seconds=0.06),
            Row("Cascade RPN", CASCADE, (61.1, 67.6, 71.7, 42.1, 69.3, 82.8), seconds=0.06),
        ),
    ),
    "table2": Table(
        "Fast and Faster R-CNN on the proposals of each generator",
        AVERAGE_PRECISION,
        "COCO test-dev",
        (
            Row(
                "Fast R-CNN, RPN, 1000",
                config("fast_rcnn"),
                (37.0, 59.5, 39.9, 21.1, 39.4, 47.0),
                proposals=RPN,
            ),
            Row(
                "Fast R-CNN, Cascade RPN, 1000",
                config("cascade_rpn_fast_rcnn_1000_proposals"),
                (40.1, 59.5, 43.7, 22.8, 42.4, 50.9),
                proposals=CASCADE,
            ),
            Row(
                "Fast R-CNN, RPN, 300",
                config("fast_rcnn_300_proposals"),
                (36.6, 58.6, 39.5, 20.3, 39.1, 47.0),
                proposals=RPN,
            ),
            Row(
                "Fast R-CNN, Iterative RPN+, 300",
                config("iterative_rpn_plus_fast_rcnn"),
                (38.6, 58.8, 42.2, 21.1, 41.5, 50.0),
                proposals=ITERATIVE_PLUS,
            ),
            Row(
                "Fast R-CNN, GA-RPN, 300",
                config("ga_fast_rcnn", "guided_anchoring"),
                (39.5, 59.3, 43.2, 21.8, 42.0, 50.7),
                proposals=GA,
            ),
            Row(
                "Fast R-CNN, Cascade RPN, 300",
                config("cascade_rpn_fast_rcnn"),
                (40.1, 59.4, 43.8, 22.1, 42.4, 51.6),
                proposals=CASCADE,
            ),
            Row(
                "Faster R-CNN, RPN, 1000",
                config("faster_rcnn"),
                (37.1, 59.3, 40.1, 21.4, 39.8, 46.5),
            ),
            Row(
                "Faster R-CNN, Cascade RPN, 1000",
                config("cascade_rpn_faster_rcnn_1000_proposals"),
                (40.5, 59.3, 44.2, 22.6, 42.9, 51.5),
            ),
            Row(
                "Faster R-CNN, RPN, 300",
                config("faster_rcnn_300_proposals"),
                (36.9, 58.9, 39.9, 21.1, 39.6, 46.5),
            ),
            Row(
                "Faster R-CNN, Iterative RPN+, 300",
                config("iterative_rpn_plus_faster_rcnn"),
                (39.2, 58.2, 43.0, 21.5, 42.0, 50.4),
            ),
            Row(
                "Faster R-CNN, GA-RPN, 300",
                config("ga_faster_rcnn", "guided_anchoring"),
                (39.9, 59.4, 43.6, 22.0, 42.6, 50.9),
            ),
            Row(
                "Faster R-CNN, Cascade RPN, 300",
                config("cascade_rpn_faster_rcnn"),
                (40.6, 58.9, 44.5, 22.0, 42.8, 52.6),
            ),
        ),
    ),
    "table3": Table(
        "What each part of Cascade RPN adds",
        AR,
        "COCO val2017",
        (
            Row("Baseline", ablation("baseline"), (44.6, 52.9, 58.3)),
            Row(
                "+ 1 anchor",
                ablation("one_anchor"),
                (44.7, 51.2, 55.8),
                adds=(
                    "model.proposal_generator.anchor_generator.aspect_ratios",
                    *stages("0.predictor.num_anchors"),
                ),
            ),
            Row(
                "+ Cascade",
                ablation("cascade"),
                (48.2, 54.4, 58.0),
                # The last stage alone classifies (Algorithm 1).
                adds=stages("0.bridge", "0.cls_weight", "0.predictor.objectness", "1"),
            ),
            Row(
                "+ Alignment",
                ablation("align"),
                (57.4, 63.7, 67.8),
                adds=stages("0.align.dilation", "1.align"),
            ),
            Row(
                "+ AFAB",
                ablation("afab"),
                (57.3, 64.2, 68.6),
                adds=stages("0.assigner", "0.sampler", "0.border"),
            ),
            Row(
                "+ Statistics",
                ablation("stats"),
                (60.8, 67.3, 71.5),
                adds=stages("0.box_coder.stds", "1.box_coder.stds"),
            ),
            Row(
                "+ IoU loss",
                CASCADE,
                (61.1, 67.6, 71.7),
                adds=stages("0.box_loss", "0.loc_weight", "1.box_loss", "1.loc_weight"),
            ),
        ),
        cumulative=True,
    ),
    "table4": Table(
        "Alignment by centre and shape",
        AR,
        "COCO val2017",
        (
            Row("None", ablation("cascade"), (48.2, 54.4, 58.0)),
            Row("Centre", ablation("align_center"), (52.5, 59.4, 64.1), adds=stages("1.align")),
            Row(
                "Centre and shape",
                ablation("align"),
                (57.4, 63.7, 67.8),
                # Stage 1 has no offsets but those of shape: dilation is what they come to.
                adds=stages("0.align.dilation", "1.align.center_only"),
            ),
        ),
        cumulative=True,
    ),
    "table5": Table(
        "Anchor-free (AF) and anchor-based (AB) metrics",
        AR,
        "COCO val2017",
        (
            Row("AF", ablation("af"), (55.2, 61.8, 66.4)),
            Row("AB", ablation("align"), (57.4, 63.7, 67.8)),
            Row("AFAB", ablation("afab"), (57.3, 64.2, 68.6)),
        ),
    ),
    "table6": Table(
        "Number of stages",
        AR,
        "COCO val2017",
        (
            Row("1 stage", ablation("one_stage"), (56.0, 62.2, 66.3), seconds=0.04),
            Row(
                "2 stages",
                CASCADE,
                (61.1, 67.6, 71.7),
                seconds=0.06,
                adds=stages("0.bridge", "0.cls_weight", "0.predictor.objectness", "0.sampler", "1"),
            ),
            Row(
                "3 stages",
                ablation("three_stages"),
                (60.9, 67.9, 72.2),
                seconds=0.08,
                adds=stages("1.predictor.objectness", "2"),
            ),
        ),
        cumulative=True,
    ),
    "table7": Table(
        "Cascade R-CNN",
        AVERAGE_PRECISION,
        # Section 5.1 has detection on test-dev; the authors list these AP beside some of val2017.
        "COCO, presumably val2017",
        (
            Row("RPN", config("cascade_rcnn"), (40.8, 59.3, 44.3, 22.0, 44.2, 54.2)),
            Row(
                "Cascade RPN",
                config("cascade_rpn_cascade_rcnn"),
                (41.6, 59.0, 45.5, 23.0, 45.0, 55.2),
            ),
        ),
    ),
}
