"""Names of results are never equal."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from cascade_rpn_d2.engine.picture_writer import distinct_names

NAMES = st.lists(st.sampled_from(["a.png", "A.png", "a-2.png", "a-3.png", "b/a.png", "a.jpg"]))


@given(NAMES)
def test_names_become_distinct_and_the_first_of_each_stays(names):
    given_names = [Path(name) for name in names]
    found = distinct_names(given_names)
    assert len({str(name).lower() for name in found}) == len(found)
    for index, (before, after) in enumerate(zip(given_names, found, strict=True)):
        assert after.parent == before.parent and after.suffix == before.suffix
        if str(before).lower() not in [str(n).lower() for n in given_names[:index]]:
            assert after == before
