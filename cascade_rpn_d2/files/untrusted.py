"""Files from strangers: how one of each kind is opened, and with what limits.

Nothing in such a file is run, and a small file cannot ask for much more memory than its size. What
is wrong with one is a single sentence that begins with its name and quotes nothing of its contents,
which may hold what a terminal takes for commands. (Configs are opened in :mod:`..config`.)
"""

from __future__ import annotations

import codecs
import json
import os
import re
import zipfile
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

PathLike = str | os.PathLike[str]

# Pixels of an image that is decoded: a 100-megapixel camera's fit, while 20 kB of PNG that unpack
# to gigabytes do not.
MAX_IMAGE_PIXELS = 120_000_000

# Levels of lists and objects in each other; COCO's results have 5, those of other tools a few more.
_MAX_JSON_DEPTH = 64
_BRACKETS_AND_QUOTES = b'[]{}"'
_OTHER_BYTES = bytes(set(range(256)) - set(_BRACKETS_AND_QUOTES))

# What other files that bear the expected name begin with, what they are, and what to do.
_OTHER_KINDS = (
    (
        rb"version https://git-lfs",
        "a pointer of Git LFS, not the file itself: get the file with `git lfs pull`",
    ),
    (
        rb"(?i)\s*<(!doctype|html|head)",
        "an HTML page: download the file itself, from its direct link",
    ),
    (rb"(?i)\s*<\?xml", "an XML file: give another file"),
    (rb"\x1f\x8b|BZh[1-9]1AY|\xfd7zXZ\x00|7z\xbc\xaf|Rar!", "packed: unpack it first"),
    (rb"\x89HDF", "a file of HDF5: give another file"),
    (rb"(?s).{5}\x00{3}\{\"", "of safetensors: save its tensors with torch.save"),
)


def other_kind(path: PathLike) -> str | None:
    """What a file is instead of what it was taken for, and what to do about it.

    Returns:
        Words to follow the name of the file, such as ``"is an HTML page: download ..."``; None if
        it is none of the kinds that people meet under a wrong name.

    Raises:
        OSError: if the file cannot be read.
    """
    with open(path, "rb") as file:
        beginning = file.read(512).removeprefix(codecs.BOM_UTF8)
    if not beginning:
        return "is empty: copy or download it again"
    return next((f"is {what}" for start, what in _OTHER_KINDS if re.match(start, beginning)), None)


def shown(text: object, limit: int = 80) -> str:
    """Words from a file, fit to be quoted in a sentence: on one line, of ``limit`` characters."""
    plain = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in str(text))
    return plain if len(plain) <= limit else f"{plain[: limit - 3]}..."


def open_archive(path: PathLike, *, only_names: bool = False) -> zipfile.ZipFile:
    """Open a zip archive of arrays or tensors for reading.

    Their writers never compress, and compressed members, or several in one place, could take a
    thousand times the memory of the file.

    Args:
        path: the file.
        only_names: leave out these checks, as no member is going to be read.

    Raises:
        ValueError: if a member is compressed, or the members are larger than the file; one
            sentence with the file's name.
        zipfile.BadZipFile: if it is no such archive.
        OSError: if it cannot be read.
    """
    try:
        archive = zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile):
        raise
    except Exception as error:  # a damaged one can raise anything
        raise zipfile.BadZipFile(str(error)) from error
    if only_names:
        return archive
    members = archive.infolist()
    packed = next((m for m in members if m.compress_type != zipfile.ZIP_STORED), None)
    if packed is None and sum(m.file_size for m in members) <= os.path.getsize(path):
        return archive
    archive.close()
    if packed is None:
        raise ValueError(f"{path} claims to hold more than its size: copy or download it again.")
    raise ValueError(
        f"{path} is compressed ('{shown(packed.filename)}'), and may take any amount of memory: "
        "have it written without compression."
    )


def read_json(path: PathLike, *, allow_nan: bool = False) -> Any:
    """What a JSON file holds, see :func:`parse_json`.

    Raises:
        ValueError: if it cannot be used; one sentence with the file's name.
        OSError: if it cannot be read.
    """
    kind = other_kind(path)
    if kind:
        raise ValueError(f"{path} {kind}.")
    return parse_json(Path(path).read_bytes(), str(path), allow_nan=allow_nan)


def parse_json(content: bytes, path: str, *, allow_nan: bool = False) -> Any:
    """What a JSON text holds.

    A byte order mark is allowed. Numbers are finite, but that a value beyond float64 (``1e999``)
    becomes infinite.

    Args:
        content: in UTF-8.
        path: what a message calls it.
        allow_nan: take NaN and infinity, which JSON has not but Python's ``json`` writes, for a
            caller that looks at every number and can name the one that is wrong.

    Raises:
        ValueError: if it is no JSON, not in UTF-8, cut off, nested more than 64 deep, or has NaN or
            infinity where they are not allowed; one sentence.
    """
    encoding = json.detect_encoding(content).partition("-sig")[0]
    if encoding != "utf-8":
        raise ValueError(f"{path} is encoded as {encoding.upper()}: save it as UTF-8.")
    if _depth(content) > _MAX_JSON_DEPTH:
        raise ValueError(
            f"{path} has lists or objects more than {_MAX_JSON_DEPTH} deep in each other, as no "
            "file of annotations or results has: give another file."
        )
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is not encoded as UTF-8 (byte {error.start} is {content[error.start]:#04x}): "
            "save it as UTF-8."
        ) from None
    del content  # gigabytes, of a large dataset
    try:
        return json.loads(text, parse_constant=None if allow_nan else _refuse_constant)
    except json.JSONDecodeError as error:
        ends = error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated string")
        what = "is cut off" if ends else "is no JSON"
        advice = "copy or download it again" if ends else "write it anew"
        raise ValueError(
            f"{path} {what} (line {error.lineno}, column {error.colno}: {error.msg}): {advice}."
        ) from None
    except _NotJson as error:
        raise ValueError(
            f"{path} has a number that JSON has not ({error}): write it anew."
        ) from None
    except ValueError:  # Python's bound on the digits of an integer
        raise ValueError(f"{path} has an integer of thousands of digits: write it anew.") from None


class _NotJson(ValueError):
    pass


def _refuse_constant(name: str) -> NoReturn:
    raise _NotJson(name)


def _depth(content: bytes) -> int:
    """How deep lists and objects of a JSON text are in each other; fast, as it sees no values."""
    if b"\\" in content:
        content = re.sub(rb"\\.", b"", content, flags=re.DOTALL)
    # Without what is between them, quotes of one text meet; those left hold brackets.
    marks = content.translate(None, _OTHER_BYTES).replace(b'""', b"")
    brackets = b"".join(marks.split(b'"')[::2])
    steps = np.frombuffer(brackets, np.uint8)
    opening = (steps == ord("[")) | (steps == ord("{"))
    return int(np.where(opening, 1, -1).cumsum().max(initial=0))
