"""A table on the page of its project."""

from __future__ import annotations

from cascade_rpn_d2.reproduce import Row, Table, page_table


def cells(table: Table) -> list[list[str]]:
    lines = page_table(table).splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_rows_are_numbered_and_blank_where_nothing_is_known():
    rows = (Row("Other", None, (None,)), Row("Mine", "demo/rpn.py", (44.62,)))
    table = cells(Table("t", ("box_proposals/AR@100",), "val2017", rows))
    assert table[0] == ["#", "row", "AR@100", "ours", "config"]
    assert table[2] == ["1", "Other", "", "", "quoted in the paper"]
    assert table[3] == ["2", "Mine", "44.6", "", "`demo/rpn.py`"]


def test_overrides_stand_behind_their_config():
    row = Row("Mine", "demo/rpn.py", (None,), overrides=("model.x=1",))
    assert cells(Table("t", ("bbox/AP",), "val2017", (row,)))[2][-1] == "`demo/rpn.py model.x=1`"


def test_times():
    rows = (Row("GA", None, (2375,), seconds=0.06),)
    table = cells(Table("t", ("bbox/AP",), "val2017", rows))
    assert table[0] == ["#", "row", "AP", "s / image", "ours", "config"]
    assert table[2] == ["1", "GA", "2,375", "0.06", "", "quoted in the paper"]


def test_a_table_of_other_images_than_ours_says_so():
    rows = (Row("Quoted", None, (1.0,)), Row("Mine", "cascade_rpn/rpn_r50_fpn_1x.py", (44.62,)))
    for split, said in (("COCO test-dev", True), ("COCO minival, the images of val2017", False)):
        text = page_table(Table("t", ("box_proposals/AR@100",), split, rows))
        sentence = (
            "The paper's numbers are on COCO test-dev; ours are on COCO val2017, unless "
            "`--test-data` names others."
        )
        assert (sentence in text) == said
    quoted = Table("t", ("box_proposals/AR@100",), "COCO test-dev", rows[:1])
    assert "Compare" not in page_table(quoted)
