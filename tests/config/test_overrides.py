"""Overrides of existing keys, of new ones, and of misspelt ones."""

from __future__ import annotations

import re

import pytest
from detectron2.config import LazyCall as L
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import DictConfig, OmegaConf
from torch import nn

from cascade_rpn_d2.config.overrides import keys
from cascade_rpn_d2.model_zoo import apply_overrides


def config() -> DictConfig:
    return OmegaConf.create(
        {
            "train": {"max_iter": 10, "seed": None, "amp": {"enabled": False}},
            "model": L(nn.Sequential)(stages=[{"weight": 1.0}, {"weight": 2.0}], sizes=[1, 2]),
            "same": "${train.max_iter}",
        },
        flags={"allow_objects": True},
    )


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        ("train.max_iter=100", "train.max_iter", 100),
        ("train.seed=7", "train.seed", 7),
        ("train.amp.enabled=true", "train.amp.enabled", True),
        ("model.stages.1.weight=0.5", "model.stages.1.weight", 0.5),
        ("model.sizes=[3,4]", "model.sizes", [3, 4]),
        ("same=1", "same", 1),
        ("+train.note=hello", "train.note", "hello"),
        ("+train.max_iter=never", "train.max_iter", "never"),
    ],
)
def test_a_value_is_changed(override, key, value):
    changed = apply_overrides(config(), [override])
    assert OmegaConf.select(changed, key) == value


@pytest.mark.parametrize(
    ("override", "suggestion"),
    [
        ("train.max_itr=100", "'train.max_iter'"),
        ("trian.max_iter=100", "'train.max_iter'"),
        ("model.stages.2.weight=1", "'model.stages.1.weight'"),
    ],
)
def test_an_unknown_key_is_refused_and_the_nearest_suggested(override, suggestion):
    before = config()
    with pytest.raises(ValueError, match=suggestion) as error:
        apply_overrides(before, [override])
    assert override.partition("=")[0] in str(error.value)
    assert OmegaConf.to_container(before, resolve=False) == OmegaConf.to_container(
        config(), resolve=False
    )


def test_advice_has_what_stands_in_front_of_the_keys():
    with pytest.raises(ValueError) as error:
        apply_overrides(config(), ["train.maxiter=3"], prefix="rpn.")
    (added,) = re.findall(r"write (\S+) to add", str(error.value))
    assert added == "+rpn.train.maxiter=3" and "'rpn.train.max_iter'" in str(error.value)


@pytest.mark.parametrize("override", ["train.max_iter", "=3", "", "+=3"])
def test_what_is_no_override_is_refused(override):
    with pytest.raises(ValueError, match="is no override: give key=value"):
        apply_overrides(config(), [override])


@pytest.mark.parametrize(
    "override",
    [
        "train.max_iter=[1,",
        "+train.max_iter.deeper=3",
        "train.max_iter=1,2",
        "train.max_iter=choice(1,2)",
        "~train.seed=1",
    ],
)
def test_a_value_that_cannot_be_read_is_one_sentence(override):
    with pytest.raises(ValueError) as error:
        apply_overrides(config(), [override])
    assert override in str(error.value) and "\n" not in str(error.value)


def test_every_key_is_listed():
    assert set(keys(config())) >= {"model.stages.1.weight", "train.seed", "train", "same"}


@given(st.text(alphabet="abc.019", min_size=1, max_size=8))
def test_a_key_that_is_not_listed_is_refused(key):
    small = OmegaConf.create({"a": {"b": [1, {"c": None}]}, "0": 1})
    if key not in keys(small):
        with pytest.raises(ValueError, match="has no key"):
            apply_overrides(small, [f"{key}=1"])
