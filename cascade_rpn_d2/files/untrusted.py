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

# What other files that bear the expected name begin with. An article fits into "is ...".
_BEGINNINGS: tuple[tuple[re.Pattern[bytes], str], ...] = (
    (re.compile(rb"version https://git-lfs"), "a pointer of Git LFS, not the file itself"),
    (re.compile(rb"\s*<(!doctype|html|head)", re.IGNORECASE), "an HTML page"),
    (re.compile(rb"\s*<\?xml", re.IGNORECASE), "an XML file"),
    (re.compile(rb"\x1f\x8b"), "packed with gzip"),
    (re.compile(rb"BZh[1-9]1AY"), "packed with bzip2"),
    (re.compile(rb"\xfd7zXZ\x00"), "packed with xz"),
)
_ADVICE = {
    "a pointer of Git LFS, not the file itself": "get the file with `git lfs pull`",
    "an HTML page": "download the file itself, from its direct link",
}


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
    for pattern, kind in _BEGINNINGS:
        if pattern.match(beginning):
            unpack = "unpack it first" if kind.startswith("packed") else "give another file"
            return f"is {kind}: {_ADVICE.get(kind, unpack)}"
    return None


def read_json(path: PathLike, *, allow_nan: bool = False) -> Any:
    """What a JSON file holds.

    A byte order mark is allowed. Numbers are finite, but that a value beyond float64 (``1e999``)
    becomes infinite.

    Args:
        path: the file, in UTF-8.
        allow_nan: take NaN and infinity, which JSON has not but Python's ``json`` writes, for a
            caller that looks at every number and can name the one that is wrong.

    Raises:
        ValueError: if it is no JSON, not in UTF-8, cut off, nested more than 64 deep, or has NaN or
            infinity where they are not allowed; one sentence with the file's name.
        OSError: if it cannot be read.
    """
    content = Path(path).read_bytes()
    kind = other_kind(path)
    if kind:
        raise ValueError(f"{path} {kind}.")
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
