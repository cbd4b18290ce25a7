"""Densities over a logarithmic axis."""

from __future__ import annotations

import numpy as np
import pytest

from cascade_rpn_d2.visualization import Density, densities_figure, plot_densities
from cascade_rpn_d2.visualization.densities import power_of_two

EDGES = np.arange(3.0, 7.0)
PANELS = {
    "scale": {"a": Density(EDGES, np.array([0.5, 0.25, 0.25])), "b": Density(EDGES, np.eye(3)[0])},
    "ratio": {"a": Density(EDGES - 5, np.eye(3)[1]), "b": Density(EDGES - 5, np.ones(3) / 3)},
}


def test_panels_have_the_densities_of_every_group():
    figure = densities_figure(PANELS)
    assert [axes.get_xlabel() for axes in figure.axes] == ["scale", "ratio"]
    for axes, densities in zip(figure.axes, PANELS.values(), strict=True):
        filled = [patch for patch in axes.patches if patch.get_fill()]
        for patch, density in zip(filled, densities.values(), strict=True):
            values, edges, _ = patch.get_data()
            np.testing.assert_array_equal(values, density.values)
            np.testing.assert_array_equal(edges, density.edges)
    assert figure.axes[0].get_xlim() == (3, 6)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a", "b"]


def test_the_axis_tells_values_not_logarithms():
    assert [power_of_two(k) for k in (-3, 0, 6)] == ["1/8", "1", "64"]
    assert densities_figure(PANELS).axes[0].xaxis.get_major_formatter()(5.0) == "32"


def test_the_picture_has_its_size():
    assert plot_densities(PANELS, size=(500, 240)).shape == (240, 500, 3)


@pytest.mark.parametrize(
    ("panels", "message"),
    [
        ({}, "no density"),
        ({"scale": {}}, "no density"),
        ({**PANELS, "ratio": {"a": PANELS["ratio"]["a"]}}, "'ratio' must have densities of a, b"),
        ({"scale": {"a": Density(EDGES, np.ones(4))}}, "'a' must have a value for each"),
    ],
)
def test_densities_that_cannot_be_drawn(panels, message):
    with pytest.raises(ValueError, match=message):
        plot_densities(panels)
