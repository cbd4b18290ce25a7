"""The figures that ``visualize`` draws, as its parser has them."""

from __future__ import annotations

import importlib
import inspect

import pytest

from cascade_rpn_lite.figures import FIGURES
from cascade_rpn_lite.visualize import figure_parser

_TAKEN_BEFORE = ("allow_outside_images", "depth_range", "max_pixels", "trust_config")


@pytest.mark.parametrize("name", FIGURES)
def test_the_options_of_a_figure_are_what_its_function_takes(name):
    module, function = FIGURES[name].function.split(":")
    draw = getattr(importlib.import_module(f"cascade_rpn_d2.{module}"), function)
    parser = figure_parser(name, "visualize")
    options = {action.dest for action in parser._actions} - {"help", *_TAKEN_BEFORE}
    assert options == set(inspect.signature(draw).parameters)
