"""The bridge from a yacs config to a LazyConfig."""

from __future__ import annotations

import pytest
from detectron2.config import get_cfg
from detectron2.modeling import META_ARCH_REGISTRY, build_model
from detectron2.modeling.meta_arch import ProposalNetwork

from cascade_rpn_d2 import model_zoo


def yacs(lazy_config):
    cfg = get_cfg()
    cfg.MODEL.META_ARCHITECTURE = "LazyModel"
    cfg.MODEL.DEVICE = "cpu"
    if lazy_config is not None:
        cfg.MODEL.LAZY_CONFIG = lazy_config
    return cfg


def test_build_model_builds_the_model_of_the_file(repository):
    assert "LazyModel" in META_ARCH_REGISTRY
    model = build_model(yacs(str(repository / "tests/tiny_configs/tiny_rpn.py")))
    assert isinstance(model, ProposalNetwork)
    assert model.proposal_generator.post_nms_topk[False] == 100


def test_sequences_reach_the_model_as_lists(repository):
    config = model_zoo.get_config(repository / "tests/tiny_configs/tiny_rpn.py")
    model = model_zoo.instantiate_model(config)
    assert type(model.proposal_generator.in_features) is list
    assert type(model.backbone.bottom_up._out_features) is list


@pytest.mark.parametrize(
    ("name", "message"), [(None, "LAZY_CONFIG must be"), ("demo/cascade_rnp", "did you mean")]
)
def test_a_missing_or_unknown_name_is_refused(name, message):
    with pytest.raises(ValueError, match=message):
        build_model(yacs(name))


def test_a_file_without_a_model_is_refused(tmp_path):
    file = tmp_path / "yacs.yaml"
    file.write_text("MODEL:\n  WEIGHTS: ''\n")
    with pytest.raises(ValueError, match=r"yacs.yaml has no `model`"):
        build_model(yacs(str(file)))
