"""Distributions on a logarithmic scale."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascade_rpn_d2.engine.log_histogram import LogHistogram

VALUES = st.lists(st.floats(1e-3, 1e4), min_size=1, max_size=30)


def histogram(values, times=1):
    made = LogHistogram()
    made.add(values, times)
    return made


def test_a_worked_example():
    made = histogram([8, 16, 32, 64], times=[1, 1, 1, 5])
    assert made.total == 8
    assert [made.quantile(q) for q in (0.0, 0.125, 0.25, 0.3, 0.5, 1.0)] == [8, 8, 16, 32, 64, 64]
    # Octaves up to 64: 3, 2, 1 and 0, of 8 values.
    assert made.distance(histogram([64])) == pytest.approx(6 / 8)
    # Halves of an octave around 4, 5 and 6.
    assert made.density([3.75, 4.25, 4.75, 5.25]).tolist() == [0.25, 0, 0.25]
    # All values, whatever the bins: their shares times their widths are one.
    assert np.sum(made.density([3, 4.5, 7]) * [1.5, 2.5]) == pytest.approx(1)


def test_counting_in_parts_is_counting_at_once():
    made = histogram([1.0, 3.0])
    made.add([5.0], 4)
    made.add([])
    np.testing.assert_array_equal(made.counts, histogram([1, 3, 5, 5, 5, 5]).counts)


def test_far_values_count_as_the_last_place():
    made = histogram([0.0, 1e-9, 1e9, np.inf])
    assert made.quantile(0.5) == 2.0**-16 and made.quantile(0.6) == 2.0**16


@given(VALUES)
def test_quantiles_are_those_of_the_values_but_for_rounding(values):
    made = histogram(values)
    for share in (0.1, 0.5, 0.9):
        exact = np.quantile(values, share, method="inverted_cdf")
        assert abs(np.log2(made.quantile(share) / exact)) <= 1 / 64 + 1e-9


@given(VALUES, VALUES, VALUES)
def test_the_distance_is_a_metric_that_measures_octaves(one, other, third):
    a, b, c = (histogram(values) for values in (one, other, third))
    assert a.distance(a) == 0
    assert a.distance(b) == pytest.approx(b.distance(a))
    assert a.distance(c) <= a.distance(b) + b.distance(c) + 1e-9
    assert histogram(np.array(one) * 2).distance(a) == pytest.approx(1)


@given(VALUES, VALUES)
def test_the_distance_is_that_of_sorted_values(one, other):
    size = min(len(one), len(other))
    logs = [np.sort(np.log2(values[:size])) for values in (one, other)]
    exact = np.abs(logs[0] - logs[1]).mean()
    assert histogram(one[:size]).distance(histogram(other[:size])) == pytest.approx(
        exact, abs=1 / 32 + 1e-9
    )


def test_nothing_has_no_distribution():
    for ask in (
        lambda h: h.quantile(0.5),
        lambda h: h.distance(histogram([1])),
        lambda h: histogram([1]).distance(h),
        lambda h: h.density([0, 1]),
    ):
        with pytest.raises(ValueError, match="No value was counted"):
            ask(LogHistogram())
