"""What a field of an annotation file may hold."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascade_rpn_d2.data.coco_fields import Ids, is_printable, whole_number, whole_number_in_text


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (3, 3),
        (3.0, 3),
        (-3, -3),
        (0, 0),
        (2**53 - 1, 2**53 - 1),
        (2**53, None),
        (float(2**53), None),
        (10**400, None),
        (1.5, None),
        (True, None),
        (math.nan, None),
        (-math.inf, None),
        ("3", None),
        (None, None),
        ([3], None),
    ],
)
def test_whole_numbers(value, found):
    assert whole_number(value) == found


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("3", 3),
        ("-12", -12),
        ("000042", 42),
        ("9007199254740991", 2**53 - 1),
        ("9007199254740992", None),
        ("9" * 5000, None),
        ("3.0", None),
        (" 3", None),
        ("3\n", None),
        ("1_000", None),
        ("٣", None),
        ("", None),
        (3, None),
    ],
)
def test_whole_numbers_in_texts(value, found):
    assert whole_number_in_text(value) == found


def test_texts_that_can_be_printed():
    for text in ("dog", "Zürich", "猫", "می‌خواهم", "👩‍🚀", "a b", ""):
        assert is_printable(text), text
    for text in ("\x1b[31m", "a\n", "\t", "\x7f", "\x9b1m", "\ud800", "\u202e", "\u2028", "\0"):
        assert not is_printable(text), repr(text)


@given(st.sets(st.integers(-(2**53) + 1, 2**53 - 1), min_size=1))
def test_ids_are_found_in_either_spelling(numbers):
    texts = {str(number) for number in numbers}
    for number in numbers:
        assert Ids(numbers).find(number) == number == Ids(numbers).find(str(number))
        assert Ids(texts).find(number) == str(number) == Ids(texts).find(str(number))
    absent = max(numbers) + 1
    assert Ids(numbers).find(absent) is Ids(texts).find(absent) is None
    assert Ids(numbers).find("a") is None


def test_a_number_that_two_texts_spell_is_none_of_them():
    ids = Ids(["7", "007", "8"])
    assert ids.find(7) is None and ids.find("07") is None
    assert (ids.find("007"), ids.find(8), ids.find("08")) == ("007", "8", "8")
