"""Files from strangers are understood, or refused in one sentence with their name."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import struct
import zipfile
from pathlib import Path

import pytest

from cascade_rpn_d2.files.untrusted import open_archive, other_kind, read_json, shown

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
        (gzip.compress(b"[1]"), "is packed: unpack it first"),
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


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (bz2.compress(b"a"), "packed"),
        (lzma.compress(b"a"), "packed"),
        (b"<?xml version='1.0'?>", "an XML file"),
        (b"\x89HDF\r\n", "a file of HDF5"),
        (struct.pack("<Q", 300) + b'{"__metadata__": {}', "of safetensors"),
    ],
)
def test_what_people_meet_under_a_wrong_name_is_told(tmp_path, content, kind):
    assert str(other_kind(write(tmp_path, content))).startswith(f"is {kind}: ")


@pytest.mark.parametrize("content", [b"PK\x03\x04", b"\x80\x02}", b"BZh", b'{"a": 1}', b"II"])
def test_a_file_that_is_what_it_is_named_has_no_other_kind(tmp_path, content):
    assert other_kind(write(tmp_path, content)) is None


def test_what_is_quoted_is_one_printable_line():
    assert shown("a\x1b[2J\nb\u202e") == "a\ufffd[2J\ufffdb\ufffd"
    assert shown("x" * 81) == "x" * 77 + "..." and shown(12) == "12"
    assert shown("é" * 81, 100) == "é" * 81


def archive(folder: Path, method: int = zipfile.ZIP_STORED) -> Path:
    path = folder / "theirs.zip"
    with zipfile.ZipFile(path, "w", method) as file:
        file.writestr("a\x1b", b"0" * 1000)
    return path


def test_an_archive_is_opened_if_nothing_in_it_grows(tmp_path):
    with open_archive(archive(tmp_path)) as file:
        assert file.read("a\x1b") == b"0" * 1000


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_compressed_archive_is_refused_but_its_names_are_read(tmp_path, method):
    path = archive(tmp_path, method)
    with pytest.raises(ValueError, match=r"is compressed \('a.'\), and may take") as caught:
        open_archive(path)
    assert str(caught.value).isprintable()
    with open_archive(path, only_names=True) as file:
        assert file.namelist() == ["a\x1b"]


@pytest.mark.parametrize("damage", ["end", "name", "text"])
def test_what_is_no_archive_is_one_kind_of_failure(tmp_path, damage):
    path = archive(tmp_path)
    content = path.read_bytes()
    at = content.rindex(b"PK\x01\x02")
    changed = bytearray(content)
    changed[at + 8 : at + 10], changed[at + 46] = b"\x00\x08", 0xFF  # a name that is no UTF-8
    path.write_bytes({"end": content[:-9], "name": bytes(changed), "text": b"text"}[damage])
    with pytest.raises(zipfile.BadZipFile):
        open_archive(path)
