"""The tables of CPM R-CNN (WACV 2021): rows, their configs here, and what was published."""

from __future__ import annotations

from cascade_rpn_d2.reproduce import Row, Table
from cascade_rpn_d2.reproduce.table import AVERAGE_PRECISION

AP, AP50, AP75, APS, APM, APL = AVERAGE_PRECISION
# The paper says so of Tables 1, 2, 6 and 7 and of Figure 7; Tables 4, 5 and 8 repeat rows of these.
VAL, TEST_DEV = "COCO val2017", "COCO test-dev"


def config(name: str, trunk: str = "r50") -> str:
    return f"cpm_rcnn/{name}_{trunk}_fpn_2x.py"


def ablation(name: str, schedule: str = "2x") -> str:
    return f"cpm_rcnn/ablations/{name}_r50_fpn_{schedule}.py"


def at_stage(number: int) -> tuple[str, ...]:
    return (f"model.roi_heads.test_stage={number}",)


def gamma(value: str) -> tuple[str, ...]:
    return (f"model.roi_heads.score_gamma={value}",)


def grid(trunk: str) -> str:
    return f"grid_rcnn/grid_rcnn_{trunk}_fpn_2x.py"


CPM, BASELINE = config("cpm_rcnn"), ablation("one_stage")
CMM, WHOLE = ablation("cmm"), ablation("cmm_ism_rsm")
THREE, EQUAL = ablation("three_stages"), ablation("equal_ratios")
MULTI_SCALE = config("cpm_rcnn", "x101_64x4d_dcn_ms")

TABLES = {
    "table1": Table(
        "What each module adds: cascade mapping of two stages (CMM), IoU scoring (ISM), "
        "resampling scoring (RSM)",
        AVERAGE_PRECISION,
        VAL,
        (
            Row("Baseline", BASELINE, (39.9, 58.8, 42.8, 22.3, 43.1, 53.3)),
            Row("CMM", CMM, (40.7, 58.8, 43.3, 22.5, 44.1, 54.5)),
            Row("ISM", ablation("ism"), (40.5, 58.1, 43.5, 22.4, 43.9, 54.2)),
            Row("RSM", ablation("rsm"), (40.6, None, 43.5, None, None, None)),
            Row("ISM + RSM", ablation("ism_rsm"), (None, None, 44.2, None, None, None)),
            Row("CMM + RSM", ablation("cmm_rsm"), (40.9, 58.8, 43.6, 22.4, 44.1, 54.9)),
            Row("CMM + ISM", ablation("cmm_ism"), (41.1, 58.6, 43.8, 22.7, 44.6, 55.6)),
            Row("CMM + ISM + RSM", WHOLE, (41.3, 59.0, 44.1, 23.1, 44.8, 55.7)),
        ),
    ),
    # The paper's numbers as in Table 1: they are of one stage or of two.
    "table1_two_stages": Table(
        "Rows of Table 1 without CMM as the released configs have them: two stages, both of "
        "mapping ratio 2 and IoU 0.5",
        AVERAGE_PRECISION,
        VAL,
        (
            Row("Neither", ablation("two_stages"), (None,) * 6),
            Row("ISM", ablation("two_stages_ism"), (40.5, 58.1, 43.5, 22.4, 43.9, 54.2)),
            Row("RSM", ablation("two_stages_rsm"), (40.6, None, 43.5, None, None, None)),
            Row("ISM + RSM", ablation("two_stages_ism_rsm"), (None, None, 44.2, None, None, None)),
        ),
    ),
    "table2": Table(
        "Detectors by backbone",
        (AP,),
        VAL,
        (
            Row("Faster R-CNN, R-50", config("faster_rcnn"), (37.6,)),
            Row("Grid R-CNN, R-50", grid("r50"), (40.3,)),
            Row("CPM R-CNN, R-50", CPM, (41.5,)),
            Row("Faster R-CNN, R-101", config("faster_rcnn", "r101"), (39.9,)),
            Row("Grid R-CNN, R-101", grid("r101"), (41.7,)),
            Row("CPM R-CNN, R-101", config("cpm_rcnn", "r101"), (43.2,)),
        ),
    ),
    "table3": Table(
        "The scores on Cascade R-CNN",
        (AP,),
        "COCO, presumably val2017",
        (
            Row("Cascade R-CNN", ablation("cascade_rcnn", "1x"), (39.8,)),
            Row("+ ISM", ablation("cascade_rcnn_ism", "1x"), (39.9,)),
            Row("+ RSM", ablation("cascade_rcnn_rsm", "1x"), (40.0,)),
            Row("+ ISM + RSM", ablation("cascade_rcnn_ism_rsm", "1x"), (40.2,)),
        ),
    ),
    "table4": Table(
        "Stages, and the stage that is tested at",
        (AP, APS, APM, APL, AP50, "bbox/AP70", "bbox/AP90"),
        VAL,
        (
            Row("1", BASELINE, (39.9, 22.3, 43.1, 53.3, 58.8, 49.7, 18.3)),
            Row(
                "2, at 1",
                CMM,
                (39.9, 22.3, 43.3, 53.2, 58.8, 49.7, 18.5),
                weights=CMM,
                overrides=at_stage(1),
            ),
            Row("2, at 2", CMM, (40.7, 22.5, 44.1, 54.5, 58.8, 47.6, 21.1)),
            Row(
                "3, at 1",
                THREE,
                (39.8, 22.2, 43.1, 53.1, 59.1, 47.1, 18.1),
                weights=THREE,
                overrides=at_stage(1),
            ),
            Row(
                "3, at 2",
                THREE,
                (40.7, 22.6, 44.0, 54.6, 59.0, 47.5, 21.2),
                weights=THREE,
                overrides=at_stage(2),
            ),
            Row("3, at 3", THREE, (40.8, 22.7, 44.1, 54.7, 58.9, 47.6, 21.4)),
        ),
    ),
    "table5": Table(
        "Mapping ratios of three stages, and the stage that is tested at",
        (AP, APS, APM, APL),
        VAL,
        (
            Row(
                "(2, 2, 2), at 1",
                EQUAL,
                (39.9, 22.3, 43.2, 53.2),
                weights=EQUAL,
                overrides=at_stage(1),
            ),
            Row(
                "(2, 2, 2), at 2",
                EQUAL,
                (40.4, 22.3, 43.7, 53.9),
                weights=EQUAL,
                overrides=at_stage(2),
            ),
            Row("(2, 2, 2), at 3", EQUAL, (40.3, 22.5, 43.6, 53.8)),
            Row(
                "(2, 1.5, 1.25), at 1",
                THREE,
                (39.8, 22.2, 43.1, 53.1),
                weights=THREE,
                overrides=at_stage(1),
            ),
            Row(
                "(2, 1.5, 1.25), at 2",
                THREE,
                (40.7, 22.6, 44.0, 54.6),
                weights=THREE,
                overrides=at_stage(2),
            ),
            Row("(2, 1.5, 1.25), at 3", THREE, (40.8, 22.7, 44.1, 54.7)),
        ),
    ),
    "table6": Table(
        "The loss of ISM, on one stage",
        AVERAGE_PRECISION,
        VAL,
        (
            Row("Without ISM", BASELINE, (39.9, 58.8, 42.8, 22.3, 43.1, 53.3)),
            Row("l1", ablation("ism_l1"), (40.0, 57.8, 43.0, 22.2, 43.4, 53.8)),
            Row("smooth l1", ablation("ism_smooth_l1"), (40.3, 58.0, 43.3, 22.4, 43.6, 54.3)),
            Row("l2", ablation("ism"), (40.5, 58.1, 43.5, 22.4, 43.9, 54.2)),
        ),
    ),
    "figure7": Table(
        "The balanced factor gamma of the fused score",
        (AP,),
        VAL,
        (
            Row("None", WHOLE, (None,), weights=WHOLE, overrides=gamma("null")),
            *(
                Row(value, WHOLE, (None,), weights=WHOLE, overrides=gamma(value))
                for value in ("0.0", "0.1", "0.2", "0.3", "0.4", "0.5", "0.6", "0.7")
            ),
            Row("0.8", WHOLE, (41.3,)),
            Row("0.9", WHOLE, (None,), weights=WHOLE, overrides=gamma("0.9")),
            Row("1.0", WHOLE, (None,), weights=WHOLE, overrides=gamma("1.0")),
        ),
    ),
    "table7": Table(
        "The state of the art of 2020",
        AVERAGE_PRECISION,
        TEST_DEV,
        (
            Row("YOLOv2, DarkNet-19", None, (21.6, 44.0, 19.2, 5.0, 22.4, 35.5)),
            Row("SSD-512, R-101", None, (31.2, 50.4, 33.3, 10.2, 34.5, 49.8)),
            Row("DSSD-513, R-101", None, (33.2, 53.3, 35.2, 13.0, 35.4, 51.1)),
            Row("RefineDet512, R-101", None, (36.4, 57.5, 39.5, 16.6, 39.9, 51.4)),
            Row("RetinaNet800, R-101", None, (39.1, 59.1, 42.3, 21.8, 42.7, 50.2)),
            Row("Cas-RetinaNet800, R-101", None, (39.3, 59.0, 42.8, 22.4, 42.6, 50.0)),
            Row("HSD-512, R-101", None, (40.2, 59.4, 44.0, 20.0, 44.4, 54.9)),
            Row("Faster R-CNN+++, R-101", None, (34.9, 55.7, 37.4, 15.6, 38.7, 50.9)),
            Row("Faster R-CNN w FPN, R-101", None, (36.2, 59.1, 39.0, 18.2, 39.0, 48.2)),
            Row("Mask R-CNN w FPN, R-101", None, (38.2, 60.3, 41.7, 20.1, 41.1, 50.2)),
            Row("MS R-CNN w FPN, R-101", None, (38.3, 58.8, 41.5, 17.8, 40.4, 54.4)),
            Row("Revisiting R-CNN w FPN, R-101&152", None, (40.7, 64.4, 44.6, 24.3, 43.7, 51.9)),
            Row("RPDet w FPN, R-101", None, (41.0, 62.9, 44.3, 23.6, 44.1, 51.7)),
            Row("Grid R-CNN w FPN, R-101", None, (41.5, 60.9, 44.5, 23.3, 44.9, 53.1)),
            Row("Cascade R-CNN w FPN, R-101", None, (42.8, 62.1, 46.3, 23.7, 45.5, 55.2)),
            Row("CPM R-CNN, R-50", CPM, (41.7, 59.2, 44.4, 23.1, 44.0, 54.7)),
            Row(
                "CPM R-CNN, R-101",
                config("cpm_rcnn", "r101"),
                (43.3, 61.2, 46.1, 23.9, 46.3, 56.6),
            ),
            Row(
                "CPM R-CNN, X-101-64x4d",
                config("cpm_rcnn", "x101_64x4d"),
                (43.6, 62.0, 46.5, 24.7, 46.5, 57.3),
            ),
            Row(
                "CPM R-CNN, X-101-64x4d-DCN",
                config("cpm_rcnn", "x101_64x4d_dcn"),
                (46.4, 65.3, 49.5, 26.8, 49.4, 61.0),
            ),
            Row("+ multi-scale training", MULTI_SCALE, (47.4, 66.6, 50.6, 28.5, 51.0, 61.1)),
            Row(
                "+ multi-scale test, soft-NMS",
                config("cpm_rcnn", "x101_64x4d_dcn_ms_tta"),
                (49.9, 68.7, 53.4, 31.5, 53.3, 63.8),
                weights=MULTI_SCALE,
                tta=True,
            ),
        ),
    ),
    "table8": Table(
        "Time for an image on a TITAN Xp",
        (AP,),
        VAL,
        (
            Row("Grid R-CNN, R-101", None, (41.3,), seconds=0.290),
            Row("CPM R-CNN (3 stages), R-101", config("cpm_rcnn", "r101"), (43.2,), seconds=0.140),
        ),
    ),
    "proposals": Table(
        "Not in the paper: CPM R-CNN on other proposals",
        AVERAGE_PRECISION,
        VAL,
        (
            Row("RPN", CPM, (41.5, None, None, None, None, None)),
            Row("GA-RPN, 300", config("ga_rpn_cpm_rcnn"), (None,) * 6),
            Row("Cascade RPN, 300", config("cascade_rpn_cpm_rcnn"), (None,) * 6),
        ),
    ),
}
