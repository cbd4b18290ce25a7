"""What somebody who misspelt a name probably meant."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import PurePath


def nearest(word: str, words: Sequence[str]) -> list[str]:
    """At most three of ``words`` that look like ``word``, the nearest first."""
    return difflib.get_close_matches(word, words, n=3, cutoff=0.5)


def nearest_names(name: str, names: Sequence[str]) -> list[str]:
    """As :func:`nearest`, of names that are paths; people remember a file and forget its folder."""
    by_file: dict[str, list[str]] = {}
    for each in names:
        by_file.setdefault(PurePath(each).stem, []).append(each)
    near = nearest(name, names) if "/" in name else []
    for stem in nearest(PurePath(name).stem, list(by_file)):
        near += [each for each in by_file[stem] if each not in near]
    return near[:3] or nearest(name, names)


def alternatives(words: Sequence[str]) -> str:
    """``"'a', 'b' or 'c'"`` for the words a, b and c, of which there is at least one."""
    *others, last = [f"'{word}'" for word in words]
    return f"{', '.join(others)} or {last}" if others else last
