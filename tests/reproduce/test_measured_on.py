"""On what images a table's numbers are, in words."""

from __future__ import annotations

import pytest

from cascade_rpn_d2.engine.measurement import Measurement
from cascade_rpn_d2.reproduce import Row, Table
from cascade_rpn_d2.reproduce.measured_on import data_of, data_sentence, is_of, page_note

ROWS = (Row("RPN", "a.py", (1.0,)), Row("Cascade RPN", "b.py", (2.0,)))
VAL = Measurement((("coco_2017_val", None),), 5000)
OWN = Measurement((("val_0a1b", "photos/val:val.json"),), 72)


def table(split: str) -> Table:
    return Table("t", ("bbox/AP",), split, ROWS)


@pytest.mark.parametrize(
    ("split", "title", "same"),
    [
        ("COCO val2017", "COCO val2017", True),
        ("COCO minival, the images of val2017", "COCO val2017", True),
        ("COCO test-dev", "COCO val2017", False),
        ("COCO, images not stated", "COCO val2017", False),
        ("COCO minival, the images of val2017", "the demo's test images", False),
        ("COCO val2017", "own data (COCO val2017)", False),
    ],
)
def test_which_images_are_the_papers(split: str, title: str, same: bool):
    assert is_of(split, [title]) == same


def test_ours_on_the_papers_images_is_said_alone():
    said = data_sentence(table("COCO val2017"), dict.fromkeys(ROWS, VAL))
    assert said == "Ours was measured on COCO val2017 (5,000 images)."


def test_ours_on_other_images_is_not_to_be_compared():
    said = data_sentence(table("COCO test-dev"), dict.fromkeys(ROWS, VAL))
    assert said.startswith(
        "The paper's numbers are on COCO test-dev; ours are on COCO val2017 (5,000 images)."
    )
    assert "not the paper's with ours" in said
    said = data_sentence(table("COCO val2017"), {ROWS[0]: OWN})
    assert "ours are on own data (photos/val:val.json) (72 images)" in said


def test_rows_on_different_images_are_told_apart():
    said = data_sentence(table("COCO val2017"), {ROWS[0]: VAL, ROWS[1]: None})
    assert "not measured on one set of images: 'RPN' on COCO val2017 (5,000 images); " in said
    assert said.endswith("'Cascade RPN' on data that were not recorded.")
    # As many images are not the same images.
    other = Measurement((("x", "a:b.json"),), 5000)
    assert "one set" in data_sentence(table("COCO val2017"), {ROWS[0]: VAL, ROWS[1]: other})


def test_nothing_is_said_of_no_result():
    assert data_sentence(table("COCO val2017"), {}) == ""
    assert page_note(table("COCO test-dev"), []) == ""


def test_several_datasets_are_all_named():
    both = Measurement((("coco_2017_val", None), ("voc_2007_test", None)), 9952)
    assert data_of(both) == "COCO val2017 and voc_2007_test (9,952 images)"
    assert "ours are on COCO val2017 and voc_2007_test, unless" in page_note(
        table("COCO val2017"), ["voc_2007_test", "coco_2017_val"]
    )
