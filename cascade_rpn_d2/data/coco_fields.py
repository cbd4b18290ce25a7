"""What the fields of a COCO annotation file may hold, and what is said of those that do not."""

from __future__ import annotations

import os
import re
import sys
import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

# Beyond it, float64 and other languages' JSON no longer tell whole numbers apart.
MAX_INTEGER = 2**53 - 1

# What can move the cursor, hide or turn round the text beside it, or not be printed at all.
_UNPRINTABLE = ("Cc", "Cs", "Zl", "Zp")
_BIDIRECTIONAL = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_DECIMAL = re.compile(r"-?[0-9]{1,16}")


class AnnotationFileError(ValueError):
    """An annotation file cannot be used; the message names file, record and flaw."""


def is_number(value: Any) -> bool:
    """Whether ``value`` is a finite number, which true and false are not."""
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and abs(value) <= sys.float_info.max
    )


def is_box(bbox: Any) -> bool:
    """Whether ``bbox`` is a list of four finite numbers."""
    return isinstance(bbox, list) and len(bbox) == 4 and all(map(is_number, bbox))


def whole_number(value: Any) -> int | None:
    """The integer that a JSON number stands for, ``3.0`` being 3; None if it is none that counts.

    Those beyond 2^53 - 1 on either side of 0 are none.
    """
    if not is_number(value) or abs(value) > MAX_INTEGER or value != int(value):
        return None
    return int(value)


def whole_number_in_text(value: Any) -> int | None:
    """The integer that a text such as ``"0042"`` spells, or None."""
    if not isinstance(value, str) or not _DECIMAL.fullmatch(value):
        return None
    return whole_number(int(value))


def is_printable(text: str) -> bool:
    """Whether a text has no control character, line break or broken surrogate."""
    # What str.isprintable refuses besides, such as the joiners of Persian and of emoji, is fine.
    return text.isprintable() or not any(
        unicodedata.category(c) in _UNPRINTABLE or c in _BIDIRECTIONAL for c in text
    )


def check_object(path: Path, where: str, record: Any) -> None:
    """Refuse a record that is no JSON object."""
    if not isinstance(record, dict):
        raise AnnotationFileError(
            f"{path}: {where} must be an object, but is {record!r:.60}: correct it, or remove it."
        )


def get(path: Path, where: str, record: Mapping[str, Any], key: str) -> Any:
    """The value of a key that must be there."""
    if key not in record:
        raise lacks(path, where, key)
    return record[key]


def lacks(path: Path, where: str, key: str) -> AnnotationFileError:
    """The error of a record without a key that it needs."""
    return AnnotationFileError(f"{path}: {where} lacks the key '{key}': add it.")


def refuse(
    path: Path, where: str, key: str, value: Any, expected: str, advice: str = "correct it"
) -> AnnotationFileError:
    """The error of a value that cannot be meant."""
    return AnnotationFileError(
        f"{path}: {where} has {key} {value!r:.60}, which must be {expected}: {advice}."
    )


def text_of(
    path: Path, where: str, record: Mapping[str, Any], key: str, strip: bool = False
) -> str:
    """A text with something in it, and nothing that a terminal takes for a command.

    ``strip`` takes away white space around it first, such as the end of a line of a list of names.
    """
    value = get(path, where, record, key)
    if strip and isinstance(value, str):
        value = value.strip()
    if not isinstance(value, str) or not value:
        raise refuse(path, where, key, value, "a text")
    if not is_printable(value):
        raise refuse(path, where, key, value, "a text without control characters")
    return value


def category_id_of(path: Path, where: str, record: Mapping[str, Any], key: str) -> int:
    """An integer, which may be written as a text."""
    value = get(path, where, record, key)
    found = whole_number(value)
    if found is None:
        found = whole_number_in_text(value)
    if found is None:
        expected = f"a whole number up to {MAX_INTEGER} (2^53 - 1)"
        advice = "number the categories, and name them so in category_id of the annotations"
        raise refuse(path, where, key, value, expected, advice)
    return found


def image_id_of(path: Path, where: str, record: Mapping[str, Any], key: str) -> int | str:
    """An integer or a text."""
    value = get(path, where, record, key)
    if isinstance(value, str):
        return text_of(path, where, record, key)
    found = whole_number(value)
    if found is None:
        expected = f"a whole number up to {MAX_INTEGER} (2^53 - 1), or a text"
        raise refuse(path, where, key, value, expected)
    return found


def length_of(path: Path, where: str, record: Mapping[str, Any], key: str) -> int | None:
    """A number of pixels, or None if it is missing or null."""
    value = record.get(key)
    if value is None:
        return None
    found = whole_number(value)
    if found is None or found < 1:
        raise refuse(path, where, key, value, "a positive whole number")
    return found


def is_crowd(path: Path, where: str, record: Mapping[str, Any]) -> int:
    """``iscrowd`` as 0 or 1; 0 if it is missing or null."""
    value = record.get("iscrowd")
    if value is None:
        return 0
    if not isinstance(value, int | float) or value not in (0, 1):
        raise refuse(path, where, "iscrowd", value, "0 or 1")
    return int(value)


def is_area(value: Any) -> bool:
    """Whether COCO's evaluation can tell the size of an object by an ``area``."""
    return is_number(value) and value >= 0


def file_name_of(path: Path, where: str, record: Mapping[str, Any], folder: Path | None) -> str:
    """The name of an image; where there is none that of its ``coco_url``, as LVIS has it.

    Args:
        path, where: for messages.
        record: of the image.
        folder: of the images. The folder in the address, such as ``train2017``, belongs to the name
            if the image lies in one of that name there.
    """
    if "file_name" in record or not isinstance(record.get("coco_url"), str):
        return text_of(path, where, record, "file_name")
    address = text_of(path, where, record, "coco_url")
    parts = address.partition("?")[0].rsplit("/", 2)
    if not parts[-1]:
        raise lacks(path, where, "file_name")
    longer = "/".join(parts[-2:])
    return longer if folder and os.path.isfile(folder / longer) else parts[-1]


class Ids:
    """Finds the id that is meant where one side writes numbers as texts and the other does not.

    Args:
        ids: integers or texts.
    """

    def __init__(self, ids: Iterable[int | str]) -> None:
        self._ids = set(ids)
        self._numbers: dict[int, int | str] = {}
        ambiguous = set()  # such as "7" and "007"
        for own in self._ids:
            number = whole_number_in_text(own) if isinstance(own, str) else own
            if number is None:
                continue
            if number in self._numbers:
                ambiguous.add(number)
            self._numbers[number] = own
        for number in ambiguous:
            del self._numbers[number]

    def find(self, value: int | str) -> int | str | None:
        """The id that is meant, or None."""
        if value in self._ids:
            return value
        number = whole_number_in_text(value) if isinstance(value, str) else value
        return None if number is None else self._numbers.get(number)
