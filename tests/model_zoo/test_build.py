"""Models, checkpoints and predictor configs by name."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from detectron2.config import LazyConfig
from detectron2.engine import DefaultPredictor

from cascade_rpn_d2 import model_zoo
from cascade_rpn_d2.checkpoint.export import export_checkpoint
from cascade_rpn_d2.config import files
from cascade_rpn_d2.model_zoo import ZooCheckpoint, checkpoints
from cascade_rpn_d2.modeling import CascadeRPN


@pytest.fixture(scope="module")
def config_file(repository):
    return str(repository / "tests/tiny_configs/tiny_rpn.py")


@pytest.fixture(scope="module")
def weights(config_file, tmp_path_factory):
    torch.manual_seed(7)
    file = tmp_path_factory.mktemp("weights") / "model.pth"
    torch.save({"model": model_zoo.get(config_file, device="cpu").state_dict()}, file)
    return str(file)


@pytest.fixture
def zoo(repository, tmp_path, monkeypatch, weights):
    """A zoo of which tiny_rpn.py is a member, with weights."""
    (tmp_path / "checkpoints").mkdir()
    monkeypatch.setattr(files, "configs_dir", lambda: repository / "tests/tiny_configs")
    monkeypatch.setattr(checkpoints, "_CHECKPOINTS_DIR", tmp_path / "checkpoints")
    sha256 = export_checkpoint(weights, tmp_path / "checkpoints/tiny.pth")
    monkeypatch.setitem(checkpoints.CHECKPOINTS, "tiny_rpn.py", ZooCheckpoint("tiny.pth", sha256))
    return tmp_path / "checkpoints/tiny.pth"


def image():
    return np.random.default_rng(0).integers(0, 256, (120, 90, 3), np.uint8)


def test_a_model_is_built_for_evaluation_on_its_device(config_file):
    model = model_zoo.get(config_file, device="cpu")
    assert not model.training
    assert {p.device.type for p in model.parameters()} == {"cpu"}


@pytest.mark.parametrize("name", ["demo/cascade_rpn", "cascade_rpn/cascade_rpn_r50_fpn_1x"])
def test_cascade_rpn_is_built_by_name(name):
    model = model_zoo.get(name, device="cpu")
    assert isinstance(model.proposal_generator, CascadeRPN)
    assert len(model.proposal_generator.stages) == 2 and not model.training


@pytest.mark.parametrize("name", ["demo/cascade_rpn", "small/cascade_rpn_r18_fpn_1k"])
def test_cells_of_padding_are_told_apart_as_the_backbone_pads(name):
    model = model_zoo.get(name, device="cpu")
    assert model.proposal_generator.size_divisibility == model.backbone.size_divisibility


def test_a_runs_own_config_names_its_classes(tmp_path, config_file, weights):
    config = model_zoo.get_config(config_file)
    config.train = {"categories": [{"id": 7, "name": "cat"}, {"id": 9, "name": "dog"}]}
    LazyConfig.save(config, str(tmp_path / "config.yaml"))
    for _ in range(2):  # may be asked for again
        cfg = model_zoo.get_predictor_cfg(tmp_path / "config.yaml", weights)
    assert DefaultPredictor(cfg).metadata.thing_classes == ["cat", "dog"]


def test_an_unmodified_default_predictor_serves_a_lazy_config(config_file, weights):
    cfg = model_zoo.get_predictor_cfg(config_file, weights)
    assert (cfg.INPUT.FORMAT, cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.MAX_SIZE_TEST) == ("RGB", 96, 128)
    assert cfg.MODEL.DEVICE == ("cuda" if torch.cuda.is_available() else "cpu")
    cfg.MODEL.DEVICE = "cpu"
    predictor = DefaultPredictor(cfg)
    assert predictor.metadata.name == "coco_2017_val"
    saved = torch.load(weights, weights_only=True)["model"]
    assert all(torch.equal(saved[k], v) for k, v in predictor.model.state_dict().items())
    proposals = predictor(image())["proposals"]
    assert proposals.image_size == (120, 90) and len(proposals) == 100


def test_a_config_that_names_something_else_is_trusted_once_for_all(tmp_path, config_file, weights):
    config = model_zoo.get_config(config_file)
    config.model._target_ = "detectron2.modeling.meta_arch.rcnn.ProposalNetwork"  # in other words
    file = str(tmp_path / "config.yaml")
    LazyConfig.save(config, file)
    with pytest.raises(
        ValueError, match=r"meta_arch\.rcnn\.ProposalNetwork.* as its model\._target_"
    ):
        model_zoo.get_predictor_cfg(file, weights)
    cfg = model_zoo.get_predictor_cfg(file, weights, trust_config=True)
    cfg.MODEL.DEVICE = "cpu"
    assert len(DefaultPredictor(cfg)(image())["proposals"]) == 100
    assert not model_zoo.get(file, device="cpu", trust_config=True).training
    cfg.MODEL.TRUST_LAZY_CONFIG = "no"
    with pytest.raises(ValueError, match="trust_config=True"):
        DefaultPredictor(cfg)


def test_a_config_without_resize_leaves_images_as_they_are(repository, tmp_path):
    file = str(repository / "tests/tiny_configs/tiny_faster_rcnn.py")
    weights = tmp_path / "model.pth"
    torch.save(model_zoo.get(file, device="cpu").state_dict(), weights)
    cfg = model_zoo.get_predictor_cfg(file, weights)
    cfg.MODEL.DEVICE = "cpu"
    predictor = DefaultPredictor(cfg)
    assert predictor.aug.get_transform(image()).apply_image(image()).shape == (120, 90, 3)
    assert predictor(image())["instances"].image_size == (120, 90)


def test_weights_are_never_random_in_silence(config_file, tmp_path):
    with pytest.raises(ValueError, match="no trained weights for .*tiny_rpn.py': give the file"):
        model_zoo.get_predictor_cfg(config_file)
    with pytest.raises(ValueError, match="no trained weights"):
        model_zoo.get(config_file, trained=True, device="cpu")
    with pytest.raises(FileNotFoundError, match="no file of weights at .*absent.pth"):
        model_zoo.get_predictor_cfg(config_file, tmp_path / "absent.pth")


def test_weights_of_the_zoo_are_found_by_name(zoo, weights):
    model = model_zoo.get("tiny_rpn", trained=True, device="cpu")
    saved = torch.load(weights, weights_only=True)["model"]
    for key, value in model.state_dict().items():
        assert torch.allclose(saved[key], value, rtol=1e-3, atol=1e-6), key
    assert model_zoo.has_checkpoint("tiny_rpn") and not model_zoo.has_checkpoint("tiny_faster_rcnn")
    assert model_zoo.get_predictor_cfg("tiny_rpn").MODEL.WEIGHTS == str(zoo)


def test_weights_that_are_not_those_published_are_refused(zoo):
    zoo.write_bytes(zoo.read_bytes() + b" ")
    with pytest.raises(ValueError, match="SHA-256"):
        model_zoo.get("tiny_rpn", trained=True, device="cpu")
    zoo.unlink()
    with pytest.raises(FileNotFoundError, match="install cascade_rpn_d2 again"):
        model_zoo.get("tiny_rpn", trained=True, device="cpu")


@pytest.mark.parametrize("device", ["graphics", "cuda:99"])
def test_a_device_that_does_not_exist_is_refused(device):
    with pytest.raises(ValueError, match=f"'{device}' cannot be used"):
        model_zoo.choose_device(device)


@pytest.mark.parametrize("name", sorted(model_zoo.CHECKPOINTS))
def test_every_published_file_is_intact_and_fits_its_config(name):
    if "://" in model_zoo.CHECKPOINTS[name].file:
        pytest.skip("would have to be downloaded")
    assert not model_zoo.get(name, trained=True, device="cpu").training
