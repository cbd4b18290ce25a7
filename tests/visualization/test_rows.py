"""Rows of a table as a plot."""

from __future__ import annotations

import numpy as np
import pytest

from cascade_rpn_d2.visualization import plot_rows


def test_size_and_ink():
    picture = plot_rows(["a", "b"], {"one": {"AR": [1.0, 2.0]}}, size=(500, 300))
    assert picture.shape == (300, 500, 3) and picture.dtype == np.uint8
    assert (picture < 128).any()


def test_a_value_more_draws_more():
    empty = plot_rows(["a", "b"], {"one": {"AR": [None, None]}})
    full = plot_rows(["a", "b"], {"one": {"AR": [1.0, None]}})
    assert (empty != full).any()


def test_errors():
    with pytest.raises(ValueError, match="no row"):
        plot_rows([], {"one": {}})
    with pytest.raises(ValueError, match="'AR' has 1 values for 2 rows"):
        plot_rows(["a", "b"], {"one": {"AR": [1.0]}})
