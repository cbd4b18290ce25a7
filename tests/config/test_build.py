"""A part of a config that cannot be built is one sentence."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
import torch
from detectron2.config import LazyCall as L
from detectron2.modeling.matcher import Matcher
from omegaconf import OmegaConf
from torch import nn

from cascade_rpn_d2.config.build import build_part


def _ask(x: int) -> int:
    return {}[x]


def _refuse() -> None:
    raise ValueError("x must be odd.")


def test_a_part_is_built():
    linear = build_part(L(nn.Linear)(in_features=2, out_features=3), "model", nn.Module)
    assert linear.weight.shape == (3, 2)
    assert build_part([{"a": 1}], "x", Iterable) == [{"a": 1}] and build_part(None, "x") is None


@pytest.mark.parametrize(
    ("node", "reason"),
    [
        (L(nn.Linear)(in_features="two", out_features=3), "TypeError: .*"),
        (L(nn.Linear)(in_features=2, out_features=3, colour=1), "TypeError: .*'colour'"),
        (L(nn.Linear)(in_features=-2, out_features=3), "RuntimeError: .*negative.*"),
        (L(Matcher)(thresholds=[1, 0], labels=[0, 1, 1]), "AssertionError: assert all.*"),
        (L(_ask)(x=5), "KeyError: 5"),
        ({"_target_": "torch.nn.Linaer"}, ".*Linaer.*"),
        (OmegaConf.create({"a": {"_target_": "torch.nn.Linear", "x": "${b}"}}).a, "Interpol.*"),
    ],
)
def test_what_a_constructor_refuses_is_one_sentence(node, reason):
    with pytest.raises(ValueError, match=rf"^The model of the config cannot be built \({reason}"):
        build_part(node, "model", nn.Module)
    with pytest.raises(ValueError, match=r"\): change model\.$") as error:
        build_part({"_target_": "torch.nn.Sequential", "x": [node]}, "model")
    assert "\n" not in str(error.value)


def test_what_says_why_itself_is_left_alone():
    with pytest.raises(ValueError, match=r"^x must be odd\.$"):
        build_part(L(_refuse)(), "model")


def test_a_known_name_in_the_wrong_place_is_refused():
    shape = {"_target_": "detectron2.layers.ShapeSpec", "channels": 3}
    with pytest.raises(ValueError, match=r"^The model of the config is no Module \(Shape"):
        build_part(shape, "model", nn.Module)
    with pytest.raises(ValueError, match=r"^The optimizer of the config is no Optimizer \({'a'"):
        build_part({"a": 1}, "optimizer", torch.optim.Optimizer)
