"""The tables of Faster R-CNN that have a config here: published numbers.

Of PASCAL VOC the paper has its mAP, an average precision at IoU 0.5, which stands under AP50.
"""

from __future__ import annotations

from cascade_rpn_d2.reproduce import Row, Table

VOC = "PASCAL VOC 2007 test"
VGG, ZF = "faster_rcnn/faster_rcnn_vgg16.py", "faster_rcnn/faster_rcnn_zf.py"


def config(name: str) -> str:
    return f"faster_rcnn/ablations/{name}_vgg16.py"


def loc_weight(value: str) -> tuple[str, ...]:
    """Lambda as a weight of the mean over 256 samples, where the paper divides by 2,400 cells."""
    return (f"model.proposal_generator.refinement.loc_weight={value}",)


TABLES = {
    "table2": Table(
        "Backbones, and sharing them (Tables 2, 3 and 5)",
        ("bbox/AP50",),
        VOC,
        (
            Row("ZF, Selective Search", None, (58.7,)),
            # Those not shared are step 2 of `train-alternating`; `reproduce` trains jointly.
            Row("ZF, not shared", None, (58.7,)),
            Row("ZF, shared", ZF, (59.9,), seconds=0.059),
            Row("VGG-16, Selective Search", None, (66.9,), seconds=1.83),
            Row("VGG-16, not shared", None, (68.5,)),
            Row("VGG-16, shared", VGG, (69.9,), seconds=0.198),
        ),
    ),
    "table8": Table(
        "Anchors (Table 8)",
        ("bbox/AP50",),
        VOC,
        (
            Row("1 scale (128), 1 ratio", config("one_anchor_128"), (65.8,)),
            Row("1 scale (256), 1 ratio", config("one_anchor_256"), (66.7,)),
            Row("1 scale (128), 3 ratios", config("three_ratios_128"), (68.8,)),
            Row("1 scale (256), 3 ratios", config("three_ratios_256"), (67.9,)),
            Row("3 scales, 1 ratio", config("three_scales"), (69.8,)),
            Row("3 scales, 3 ratios", VGG, (69.9,)),
        ),
    ),
    "table9": Table(
        "Weight of the box loss (Table 9)",
        ("bbox/AP50",),
        VOC,
        (
            Row("lambda 0.1", VGG, (67.2,), overrides=loc_weight("0.0107")),
            Row("lambda 1", VGG, (68.9,), overrides=loc_weight("0.107")),
            Row("lambda 10", VGG, (69.9,), overrides=loc_weight("1.07")),
            Row("lambda 100", VGG, (69.1,), overrides=loc_weight("10.7")),
        ),
    ),
    "table11": Table(
        "COCO (Table 11)",
        ("bbox/AP", "bbox/AP50"),
        "COCO test-dev, trained on train2014",
        (
            Row("Fast R-CNN, Selective Search", None, (19.3, 39.3)),
            Row("Faster R-CNN", "faster_rcnn/faster_rcnn_12_anchors_vgg16.py", (21.5, 42.1)),
        ),
    ),
}
