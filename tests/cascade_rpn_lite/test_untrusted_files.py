"""Whatever opens a file of somebody else runs nothing that is in it, and says so in a sentence."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from detectron2.engine import DefaultPredictor

from cascade_rpn_d2 import model_zoo
from cascade_rpn_d2.checkpoint import Checkpointer
from cascade_rpn_d2.checkpoint.export import export_checkpoint
from cascade_rpn_d2.data import read_proposals
from tests.engine.tiny_data import write_dataset
from tests.engine.tiny_models import tiny_config_file, write_weights


class Payload:
    """Makes a file while it is unpickled, by one of two ways."""

    def __init__(self, marker: Path, way: str) -> None:
        self.call = {
            "system": (os.system, (f"touch {marker}",)),
            "exec": (exec, (f"open({str(marker)!r}, 'w').close()",)),
        }[way]

    def __reduce__(self) -> tuple:
        return self.call


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    """Is there after the test if a payload ran."""
    return tmp_path / "marker"


def content(marker: Path, way: str) -> dict:
    """What is read as weights, proposals and everything else, with a payload in it."""
    bad = Payload(marker, way)
    arrays = {"boxes": [np.ones((1, 4))], "objectness_logits": [np.ones(1)], "ids": [bad]}
    return {"model": {"a.weight": bad}, "__author__": "somebody", "meta": bad, **arrays}


WEIGHTS = {
    "weights.pkl": "system",
    "weights.pth": "exec",
    "pickle.pth": "exec",
    "before_1_6.pth": "system",
}


@pytest.fixture(params=WEIGHTS)
def weights(request: pytest.FixtureRequest, marker: Path, tmp_path: Path) -> Path:
    """A file of weights with a payload."""
    path = tmp_path / "theirs" / request.param
    path.parent.mkdir()
    bad = content(marker, WEIGHTS[path.name])
    if path.name in ("weights.pkl", "pickle.pth"):
        path.write_bytes(pickle.dumps(bad, protocol=2))
    else:
        torch.save(bad, path, _use_new_zipfile_serialization=path.name == "weights.pth")
    return path


def _predict(weights: Path, folder: Path) -> list[str]:
    cv2.imwrite(str(folder / "photo.png"), np.zeros((20, 30, 3), np.uint8))
    words = ["predict", "--weights", str(weights), "--input", str(folder / "photo.png")]
    return [*words, "--output", str(folder / "out")]


def _on_data(command: str) -> Callable[[Path, Path], list[str]]:
    def words(weights: Path, folder: Path) -> list[str]:
        option = "--train-data" if command == "train" else "--test-data"
        data = [option, write_dataset(folder / "data", images=1)]
        return [command, "--weights", str(weights), *data, "--output-dir", str(folder / "out")]

    return words


def _dump(weights: Path, folder: Path) -> list[str]:
    data = ["--data", write_dataset(folder / "data", images=1)]
    return ["dump-proposals", "--weights", str(weights), *data, "--output", str(folder / "p.npz")]


def _convert(weights: Path, folder: Path) -> list[str]:
    return ["convert", str(weights), str(folder / "ours.pth")]


def _visualize(weights: Path, folder: Path) -> list[str]:
    data = ["--data", write_dataset(folder / "data", images=1)]
    output = ["--output", str(folder / "stages.png")]
    return ["visualize", "stages", "--weights", str(weights), *data, *output]


def _resume(command: str, *options: str) -> Callable[[Path, Path], list[str]]:
    """The folder of a run whose ``last_checkpoint`` names the file."""

    def words(weights: Path, folder: Path) -> list[str]:
        (weights.parent / "last_checkpoint").write_text(weights.name)
        data = write_dataset(folder / "data", images=1)
        sets = ["--train-data", data, "--test-data", data]
        return [command, *options, *sets, "--output-dir", str(weights.parent)]

    return words


COMMANDS = {
    "predict": _predict,
    "train": _on_data("train"),
    "eval": _on_data("eval"),
    "dump-proposals": _dump,
    "convert": _convert,
    "visualize": _visualize,
    "train --resume": _resume("train", "--resume"),
    "eval --resume": _resume("eval", "--resume"),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_runs_nothing_of_its_weights(
    command, weights, marker, tmp_path, repository, sentence_of
):
    words = COMMANDS[command](weights, tmp_path)
    config = "tests/engine/tiny_config.py"
    if command == "visualize":
        config = "tests/tiny_configs/tiny_cascade_rpn.py"
    words += ["--config-file", str(repository / config)]
    if words[0] in ("train", "eval", "dump-proposals"):
        words += ["--num-gpus", "0"]
    assert weights.name in sentence_of(*words)
    assert not marker.exists()


def test_fine_tuning_runs_nothing_of_its_weights(weights, marker, tmp_path, sentence_of):
    data = write_dataset(tmp_path / "data", images=1)
    config = tmp_path / "detector.py"
    config.write_text(
        "from cascade_rpn_d2 import model_zoo\n"
        f"base = model_zoo.get_config({tiny_config_file('tiny_faster_rcnn')!r})\n"
        "model, dataloader = base.model, base.dataloader\n"
        "model.roi_heads.num_classes = 1\n"
    )
    generator = tiny_config_file("tiny_rpn")
    good = tmp_path / "detector.pth"
    torch.save({"model": model_zoo.get(str(config), device="cpu").state_dict()}, good)
    for detector, proposer in (
        (weights, write_weights("tiny_rpn", tmp_path)),
        (good, weights),
    ):
        words = ["finetune", "--detector-config", str(config), "--detector-weights", str(detector)]
        words += ["--generator-config", generator, "--generator-weights", str(proposer)]
        words += ["--train-data", data, "--output-dir", str(tmp_path / "out"), "--num-gpus", "0"]
        assert weights.name in sentence_of(*words, "train.device=cpu")
        assert not marker.exists()


def test_detectron2s_predictor_on_a_config_of_ours_runs_nothing(weights, marker, repository):
    cfg = model_zoo.get_predictor_cfg(str(repository / "tests/tiny_configs/tiny_rpn.py"), weights)
    cfg.MODEL.DEVICE = "cpu"
    with pytest.raises((ValueError, pickle.UnpicklingError)):  # of .pth files PyTorch's own
        DefaultPredictor(cfg)
    assert not marker.exists()


def test_detectron2s_predictor_reads_a_pickle_of_arrays(tmp_path, repository):
    config = str(repository / "tests/tiny_configs/tiny_rpn.py")
    model = model_zoo.get(config, device="cpu")
    state = {key: value.numpy() for key, value in model.state_dict().items()}
    (tmp_path / "zoo.pkl").write_bytes(pickle.dumps({"model": state, "__author__": "us"}))
    cfg = model_zoo.get_predictor_cfg(config, tmp_path / "zoo.pkl")
    cfg.MODEL.DEVICE = "cpu"
    found = DefaultPredictor(cfg).model.state_dict()
    assert all(torch.equal(value, found[key]) for key, value in model.state_dict().items())


def test_what_is_called_in_python_runs_nothing(weights, marker, tmp_path):
    for read in (
        Checkpointer(torch.nn.Linear(1, 1)).load,
        lambda path: export_checkpoint(path, tmp_path / "out.pth"),
        read_proposals,
    ):
        with pytest.raises(ValueError, match=weights.name):
            read(str(weights))
        assert not marker.exists()


@pytest.mark.parametrize("name", ["proposals.pkl", "proposals.npz"])
@pytest.mark.parametrize("command", ["train", "eval"])
def test_a_command_runs_nothing_of_its_proposals(command, name, marker, tmp_path, sentence_of):
    file = tmp_path / name
    file.write_bytes(pickle.dumps(content(marker, "system")))
    data = write_dataset(tmp_path / "data", images=1)
    words = [command, "--config-file", "cascade_rpn/cascade_rpn_fast_rcnn_r50_fpn_1x.py"]
    words += ["--output-dir", str(tmp_path / "out"), "--num-gpus", "0", "train.device=cpu"]
    words += ["train.init_checkpoint=", "model.roi_heads.num_classes=1"]
    for part in ("train", "test"):
        words += [f"--{part}-data", data, f"--{part}-proposals", str(file)]
    if command == "eval":
        words += ["--weights", write_weights("tiny_rpn", tmp_path)]
    assert name in sentence_of(*words)
    assert not marker.exists()


def test_the_payloads_of_these_tests_would_run(weights, marker):
    """Python's unpickler and PyTorch's unsafe loading do run them."""
    if weights.name in ("weights.pkl", "pickle.pth"):
        pickle.loads(weights.read_bytes())
    else:
        torch.load(weights, weights_only=False)
    assert marker.exists()
