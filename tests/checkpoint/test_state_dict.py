"""Weights are found under the names that frameworks and wrappers give them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cascade_rpn_d2.checkpoint.state_dict import (
    detectron2_content,
    prefix_of,
    remove_wrapper,
    require_tensors,
)
from cascade_rpn_d2.checkpoint.tensor_file import TensorFile

OWN = ["backbone.conv.weight", "backbone.conv.bias", "head.weight", "head.bias", "pixel_mean"]


@pytest.mark.parametrize("prefix", ["", "model.", "module.", "a.b.c."])
def test_a_prefix_is_what_stands_before_the_models_names(prefix):
    assert prefix_of([prefix + name for name in OWN] + ["other.x"], OWN) == prefix


@pytest.mark.parametrize(
    "names",
    [
        [],
        ["model.pixel_mean"],  # every framework has one
        ["net.head.bias"],  # by chance
        ["backbone.layer1.weight", "bbox_head.fc.bias"],
        ["head.bias.x", "xhead.bias", "xhead.weight"],  # only at a dot
    ],
)
def test_names_of_another_model_have_no_prefix(names):
    assert prefix_of(names, OWN) is None


def test_one_name_of_the_model_as_it_is_says_that_there_is_no_prefix():
    assert prefix_of(["head.bias", *(f"model.{name}" for name in OWN)], OWN) == ""


def test_a_wrapper_is_taken_off_with_what_else_it_had():
    state = {f"model.{name}": torch.zeros(1) for name in OWN} | {"loss.weight": torch.zeros(1)}
    assert remove_wrapper(state, "model.") == ["loss.weight"]
    assert sorted(state) == sorted(OWN)


@pytest.mark.parametrize("content", [{}, [1], None, torch.zeros(2), {"model": None}])
def test_without_weights_there_is_nothing_or_nothing_in_it(content):
    assert not detectron2_content(TensorFile(content))["model"]


def test_arrays_become_tensors_in_place_and_others_are_named():
    state = {"a": np.ones(2, np.float16), "b": torch.zeros(1)}
    require_tensors("file", state)
    assert state["a"].dtype == torch.float16
    for key, value in (("a", "text"), ("a", np.array(["text"])), (3, torch.zeros(1)), ("\x1b", 1)):
        with pytest.raises(
            ValueError, match="^file has '.' among its weights, .* no ten"
        ) as caught:
            require_tensors("file", {key: value})
        assert str(caught.value).isprintable()
