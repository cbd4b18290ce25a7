"""Files from strangers are understood, or refused in one sentence with their name."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from cascade_rpn_d2.files.untrusted import other_kind, read_json

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"


def write(folder: Path, content: bytes | str) -> Path:
    path = folder / "theirs.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def refusal(path: Path) -> str:
    """What is said of a JSON file after its name, in one line without control characters."""
    with pytest.raises(ValueError) as caught:
        read_json(path)
    message = str(caught.value)
    assert message.startswith(f"{path} ") and message.endswith(".") and message.isprintable()
    return message.removeprefix(f"{path} ")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_json_is_read_with_a_byte_order_mark_or_without(tmp_path, encoding):
    content = {"name": "Zürich\u2028[{", "sizes": [1, -2.5e3, None, True], "empty": {}}
    text = json.dumps(content, ensure_ascii=False)
    assert read_json(write(tmp_path, text.encode(encoding))) == content


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[" * 100_000, "more than 64 deep"),
        ("[" * 100_000 + "]" * 100_000, "more than 64 deep"),
        ('{"a":' * 65 + "1" + "}" * 65, "more than 64 deep"),
        ('{"a": NaN}', "number that JSON has not (NaN)"),
        ("[-Infinity]", "number that JSON has not (-Infinity)"),
        ("[" + "1" * 5000 + "]", "thousands of digits"),
        ('{"images": [{"id": 1, "file_na', "is cut off (line 1, column 23"),
        ('{"images": [\n{"id": 1}', "is cut off (line 2, column 10"),
        ('{"images": [}', "is no JSON (line 1, column 13"),
        ('{"a": 1} {"b": 2}', "is no JSON (line 1, column 10: Extra data)"),
        ("\x1b[2J", "is no JSON (line 1, column 1"),
        ("", "is empty"),
        (b"\xef\xbb\xbf", "is empty"),
        ("[1]".encode("utf-16"), "is encoded as UTF-16: save it as UTF-8"),
        ("[1]".encode("utf-32-le"), "is encoded as UTF-32-LE"),
        ('["café"]'.encode("latin-1"), "is not encoded as UTF-8 (byte 5 is 0xe9)"),
        (gzip.compress(b"[1]"), "is packed with gzip: unpack it first"),
        (b"\n<!DOCTYPE html><html>", "is an HTML page: download the file itself"),
        (LFS, "is a pointer of Git LFS, not the file itself: get the file with `git lfs pull`"),
    ],
    ids=lambda given: "content" if isinstance(given, bytes) else given[:40],
)
def test_other_json_is_refused_in_one_sentence(tmp_path, content, said):
    assert said in refusal(write(tmp_path, content))


@pytest.mark.parametrize(
    "text",
    [
        "[" * 64 + "]" * 64,
        json.dumps(
            {"[" * 99: "{" * 99, 'quo"te[': '\\" [[ \\\\', "b": ["[", "]]"]} | {"c": "{" * 99}
        ),
        json.dumps(["\\" * 5 + "[" * 99, '"' * 7 + "[" * 99, "\u1234[" * 99]),
        json.dumps([[[i, "[{"]] for i in range(200)]),
    ],
)
def test_brackets_in_texts_and_one_after_the_other_are_not_deep(tmp_path, text):
    assert read_json(write(tmp_path, text)) == json.loads(text)


def test_a_file_that_is_what_it_is_named_has_no_other_kind(tmp_path):
    assert other_kind(write(tmp_path, b"PK\x03\x04")) is None
