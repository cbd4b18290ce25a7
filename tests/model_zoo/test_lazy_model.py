"""The bridge from a yacs config to a LazyConfig."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from detectron2.config import get_cfg
from detectron2.engine import DefaultPredictor
from detectron2.modeling import META_ARCH_REGISTRY, build_model
from detectron2.modeling.meta_arch import ProposalNetwork

from cascade_rpn_d2 import model_zoo
from cascade_rpn_d2.model_zoo import lazy_model


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


class Payload:
    """Makes a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return Path.touch, (self.marker,)


@pytest.mark.parametrize("end", ["", "#", ";", "?", "?a=b", "?a=b#", ";#"])
def test_whatever_detectron2_takes_for_a_pickle_is_looked_at_first(repository, tmp_path, end):
    file, marker = tmp_path / "w.pkl", tmp_path / "ran"
    file.write_bytes(pickle.dumps({"model": Payload(marker)}))
    cfg = yacs(str(repository / "tests/tiny_configs/tiny_rpn.py"))
    cfg.MODEL.WEIGHTS = f"{file}{end}"
    with pytest.raises(ValueError, match=r"w\.pkl"):
        DefaultPredictor(cfg)
    assert not marker.exists()


def test_a_download_is_judged_by_the_file_that_it_becomes(repository, tmp_path, monkeypatch):
    file, marker = tmp_path / "w.pkl", tmp_path / "ran"
    file.write_bytes(pickle.dumps({"model": Payload(marker)}))
    monkeypatch.setattr(lazy_model, "local_path", lambda address: str(file))
    cfg = yacs(str(repository / "tests/tiny_configs/tiny_rpn.py"))
    cfg.MODEL.WEIGHTS = "https://example.com/w.pkl#part"
    with pytest.raises(ValueError, match=r"w\.pkl"):
        build_model(cfg)
    assert not marker.exists()
