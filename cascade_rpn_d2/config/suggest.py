"""What somebody who misspelt a name probably meant."""

from __future__ import annotations

import difflib
from collections.abc import Sequence


def nearest(word: str, words: Sequence[str]) -> list[str]:
    """At most three of ``words`` that look like ``word``, the nearest first."""
    return difflib.get_close_matches(word, words, n=3, cutoff=0.5)


def alternatives(words: Sequence[str]) -> str:
    """``"'a', 'b' or 'c'"`` for the words a, b and c, of which there is at least one."""
    *others, last = [f"'{word}'" for word in words]
    return f"{', '.join(others)} or {last}" if others else last
