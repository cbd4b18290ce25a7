"""Distributions over each other."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib import pyplot

from cascade_rpn_d2.visualization import histograms_figure, plot_histograms

RNG = np.random.default_rng(0)
GROUPS = {
    "stage 1": RNG.normal([0.5, 0.0], [0.2, 1.0], (4000, 2)),
    "stage 2": RNG.normal([0.0, 0.0], [0.1, 0.1], (1000, 2)),
}


def test_a_panel_per_quantity_with_the_statistics_of_every_group():
    figure = histograms_figure(GROUPS, ["dx", "dw"], title="words", xlabel="unit")
    assert [axes.get_title() for axes in figure.axes] == ["dx", "dw"]
    for column, axes in enumerate(figure.axes):
        texts = [text.get_text() for text in axes.get_legend().get_texts()]
        for text, group in zip(texts, GROUPS.values(), strict=True):
            mean, std = (float(part) for part in text.split(" ± "))
            assert mean == pytest.approx(group[:, column].mean(), abs=0.005)
            assert std == pytest.approx(group[:, column].std(), abs=0.005)
        low, high = axes.get_xlim()
        assert low == -high
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == list(GROUPS)


def test_areas_do_not_depend_on_the_number_of_values():
    for axes in histograms_figure(GROUPS, ["dx", "dw"]).axes:
        filled = [p for p in axes.patches if p.get_fill()]
        outlines = [patch.get_xy() for patch in filled]
        for outline in outlines:
            x, y = outline[:, 0], outline[:, 1]
            area = abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2
            assert area == pytest.approx(1, abs=0.02)  # but for the far ones


def test_the_picture_has_its_size_and_leaves_no_figure_open():
    picture = plot_histograms(GROUPS, ["dx", "dw"], size=(500, 240))
    assert picture.shape == (240, 500, 3) and picture.std() > 10
    assert pyplot.get_fignums() == []


def test_values_that_are_all_equal_can_be_drawn():
    assert plot_histograms({"x": np.zeros((3, 1))}, ["dx"]).std() > 1


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ({}, "no group"),
        ({"a": np.zeros((0, 2))}, "'a' must have at least one row of 2 values"),
        ({"a": np.zeros((3, 4))}, r"not shape \(3, 4\)"),
        ({"a": [[np.nan, 0]]}, "'a' must be finite"),
    ],
)
def test_values_that_cannot_be_drawn(groups, message):
    with pytest.raises(ValueError, match=message):
        plot_histograms(groups, ["dx", "dw"])
