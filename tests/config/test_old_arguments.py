"""Configs that old runs recorded, for classes that took other arguments."""

from __future__ import annotations

import pytest
import yaml
from detectron2.config import instantiate
from omegaconf import OmegaConf

from cascade_rpn_d2.config.old_arguments import with_todays_arguments
from cascade_rpn_d2.model_zoo import get_config

# What a recorded config has of two of them, as YAML.
INSIDE_ANCHORS = """
_target_: cascade_rpn_d2.modeling.InsideAnchorRPN
anchor_boundary_thresh: 0
anchor_generator:
  _target_: detectron2.modeling.anchor_generator.DefaultAnchorGenerator
  aspect_ratios: [0.5, 1.0, 2.0]
  offset: 0.5
  sizes: [[128, 256, 512]]
  strides: [16]
anchor_matcher:
  _target_: detectron2.modeling.matcher.Matcher
  allow_low_quality_matches: true
  labels: [0, -1, 1]
  thresholds: [0.3, 0.7]
batch_size_per_image: 256
box2box_transform:
  _target_: cascade_rpn_d2.modeling.SymmetricBox2BoxTransform
  weights: [1.0, 1.0, 1.0, 1.0]
head:
  _target_: detectron2.modeling.proposal_generator.StandardRPNHead
  in_channels: ${...backbone.widths.4}
  num_anchors: 9
in_features: [conv5]
loss_weight: {loss_rpn_cls: 1.0, loss_rpn_loc: 1.0}
nms_thresh: 0.7
positive_fraction: 0.5
post_nms_topk: [2000, 300]
pre_nms_topk: [12000, 6000]
smooth_l1_beta: 0.1111111111111111
"""
INCLUSIVE = """
_target_: cascade_rpn_d2.modeling.InclusiveRPN
anchor_boundary_thresh: 0
anchor_generator:
  _target_: cascade_rpn_d2.modeling.InclusiveAnchorGenerator
  aspect_ratios: [0.5, 1.0, 2.0]
  rounding: sides
  sizes: [[32], [64], [128], [256], [512]]
  strides: [4, 8, 16, 32, 64]
anchor_matcher:
  _target_: detectron2.modeling.matcher.Matcher
  allow_low_quality_matches: true
  labels: [0, -1, 1]
  thresholds: [0.3, 0.7]
batch_size_per_image: 256
box2box_transform:
  _target_: cascade_rpn_d2.modeling.InclusiveBox2BoxTransform
  transform:
    _target_: detectron2.modeling.box_regression.Box2BoxTransform
    weights: [1.0, 1.0, 1.0, 1.0]
head:
  _target_: detectron2.modeling.proposal_generator.StandardRPNHead
  in_channels: 256
  num_anchors: 3
in_features: [p2, p3, p4, p5, p6]
min_box_size: -1.0
nms_thresh: 0.7
positive_fraction: 0.5
post_nms_topk: [1000, 1000]
pre_nms_topk: [2000, 1000]
smooth_l1_beta: 0.1111111111111111
"""


def plain(generator) -> dict:
    """A generator of a config as built from plain values, without what is the default."""
    node = OmegaConf.to_container(generator, resolve=False)
    node.pop("size_divisibility", None)  # decides about cells of padding alone
    node.pop("min_original_size", None)  # old runs kept proposals of all sizes, and still do
    return node


def leaves(node, path="") -> dict:
    if isinstance(node, dict):
        return {k: v for key, x in node.items() for k, v in leaves(x, f"{path}.{key}").items()}
    return {path: list(node) if isinstance(node, list | tuple) else node}


@pytest.mark.parametrize(
    ("old", "name"),
    [
        (INSIDE_ANCHORS, "faster_rcnn/faster_rcnn_vgg16.py"),
        (INCLUSIVE, "cpm_rcnn/authors/cpm_rcnn_r50_fpn_2x.py"),
    ],
)
def test_an_old_record_is_todays_config(old, name, tmp_path):
    """Read from its file, under the names that a config from elsewhere may have."""
    content = yaml.safe_load(old)
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump({"model": {"proposal_generator": content}}))
    found = leaves(plain(get_config(str(file)).model.proposal_generator))
    expected = leaves(plain(get_config(name).model.proposal_generator))
    for key, value in found.items():
        if not key.endswith("_target_"):
            assert value == expected.pop(key, _DEFAULTS.get(key)), key
    assert not [key for key in expected if not key.endswith("_target_")]


_DEFAULTS = {
    ".refinement.match_across_border": False,
    ".refinement.box_coder.bounds_shrinking": True,
}


def test_an_old_record_is_built():
    old = yaml.safe_load(INCLUSIVE)
    generator = instantiate(OmegaConf.create(with_todays_arguments(old)))
    assert generator.refinement.border == 0 and generator.refinement.match_across_border
    assert not generator.refinement.box_coder.coder.bounds_shrinking


def test_a_border_below_0_was_none():
    old = yaml.safe_load(INSIDE_ANCHORS) | {"anchor_boundary_thresh": -1}
    assert with_todays_arguments([old])[0]["refinement"]["border"] is None


def test_what_no_run_recorded_stays_as_it_is():
    broken = yaml.safe_load(INSIDE_ANCHORS)
    del broken["batch_size_per_image"]
    assert with_todays_arguments({"a": broken}) == {"a": broken}
    other = {"_target_": "detectron2.modeling.proposal_generator.RPN", "anchor_matcher": {}}
    assert with_todays_arguments(other) == other


@pytest.mark.parametrize(
    ("recorded", "limit"),
    [
        ({"max_grid_rois_per_image": 96, "max_grid_rois_per_batch": None}, 96),  # CPM R-CNN
        ({"max_grid_rois_per_batch": 192}, 96),  # Grid R-CNN
        ({"max_grid_rois_per_image": 5, "max_grid_rois_per_batch": 192}, 5),
        ({"max_grid_rois_per_image": None, "max_grid_rois_per_batch": None}, None),
        ({"max_grid_rois_per_batch": None}, None),
        ({"max_grid_rois_per_image": None}, None),  # today's
    ],
)
@pytest.mark.parametrize("name", ["GridROIHeads", "CPMROIHeads"])
def test_a_limit_of_a_batch_becomes_one_of_an_image(name: str, recorded: dict, limit: int | None):
    target = f"cascade_rpn_d2.modeling.{name}"
    found = with_todays_arguments({"roi_heads": {"_target_": target, **recorded}})
    assert found == {"roi_heads": {"_target_": target, "max_grid_rois_per_image": limit}}
