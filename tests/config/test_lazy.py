"""Nodes of a LazyConfig by what they make."""

from __future__ import annotations

from detectron2.config import LazyCall as L
from omegaconf import DictConfig

from cascade_rpn_d2.config.lazy import is_of
from cascade_rpn_d2.modeling import RegionAssigner


def test_by_class_and_by_name():
    node = L(RegionAssigner)()
    assert is_of(node, "RegionAssigner") and not is_of(node, "Assigner")
    node._target_ = "cascade_rpn_d2.modeling.assignment.RegionAssigner"  # as a saved config has it
    assert is_of(node, "RegionAssigner")


def test_other_nodes():
    assert not is_of(None, "RegionAssigner")
    assert not is_of(DictConfig({"a": 1}), "RegionAssigner")
