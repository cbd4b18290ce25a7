"""A config in YAML from elsewhere runs nothing, whichever way it comes in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from detectron2.config import get_cfg
from detectron2.modeling import build_model

from cascade_rpn_d2 import model_zoo
from cascade_rpn_lite import visualize
from cascade_rpn_lite.cli import main
from tests.config.payloads import PAYLOADS
from tests.engine.tiny_data import write_dataset

CONFIG, GOOD = "CONFIG", "demo/cascade_rpn.py"
RUN = ("--train-data", "DATA", "--test-data", "DATA", "--output-dir", "OUT", "--num-gpus", "0")
FINETUNE = ("finetune", "--num-gpus", "0", "--output-dir", "OUT", "--detector-weights", "WEIGHTS")
FIGURE = ("--data", "DATA", "--output", "OUT/figure.png", "--device", "cpu")
BENCHMARK = ("benchmark", "--quick", "--device", "cpu", "--mode")

# Every option of every command that takes a config.
COMMANDS = {
    "train": ("train", "--config-file", CONFIG, *RUN),
    "evaluate while training": ("train", "--config-file", CONFIG, "--eval-only", *RUN),
    "eval": ("eval", "--config-file", CONFIG, "--weights", "WEIGHTS", *RUN),
    "eval --tta": ("eval", "--config-file", CONFIG, "--weights", "WEIGHTS", "--tta", *RUN),
    "predict": ("predict", "--config-file", CONFIG, "--weights", "WEIGHTS", "--input", "IMAGE")
    + ("--output", "OUT", "--device", "cpu"),
    "dump-proposals": ("dump-proposals", "--config-file", CONFIG, "--weights", "WEIGHTS")
    + ("--data", "DATA", "--output", "OUT/a.npz", "--num-gpus", "0"),
    "finetune": (*FINETUNE, "--config-file", CONFIG),
    "finetune the detector": (*FINETUNE, "--detector-config", CONFIG),
    "finetune on a generator": (*FINETUNE, "--generator-config", CONFIG)
    + ("--generator-weights", "WEIGHTS", "--train-data", "DATA", "--test-data", "DATA"),
    "convert": ("convert", "WEIGHTS", "OUT/b.pth", "--config-file", CONFIG),
    **{
        f"visualize {name}": ("visualize", name, "--config-file", CONFIG, "--weights", "WEIGHTS")
        + FIGURE
        for name in visualize.FIGURES
    },
    "visualize a model": ("visualize", "recall", "--model", "A", CONFIG, "WEIGHTS", *FIGURE),
    "visualize a deformable model": ("visualize", "sampling", "--config-file", GOOD, *FIGURE)
    + ("--deformable", CONFIG, "WEIGHTS"),
    "visualize a baseline": ("visualize", "anchor-shapes", "--config-file", GOOD, *FIGURE)
    + ("--baseline", CONFIG),
    "benchmark a head": (*BENCHMARK, "head", "--cascade-rpn", CONFIG),
    "benchmark its baseline": (*BENCHMARK, "head", "--rpn", CONFIG),
    "benchmark a threshold": (*BENCHMARK, "location-threshold", "--ga-rpn", CONFIG),
    "benchmark a backbone": (*BENCHMARK, "backbone", "--backbone", CONFIG),
    "benchmark detectors": (*BENCHMARK, "end-to-end", "--detectors", CONFIG),
}


def lazy_model(file: str) -> None:
    cfg = get_cfg()
    cfg.MODEL.META_ARCHITECTURE = "LazyModel"
    cfg.MODEL.LAZY_CONFIG = file
    build_model(cfg)


CALLS: dict[str, Callable[[str], object]] = {
    "get_config": model_zoo.get_config,
    "get": model_zoo.get,
    "get_predictor_cfg": lambda file: model_zoo.get_predictor_cfg(file, file),
    "LazyModel": lazy_model,
}


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Files that are there, so that nothing but the config can be what is refused."""
    folder = tmp_path_factory.mktemp("given")
    cv2.imwrite(str(folder / "image.png"), np.zeros((8, 8, 3), np.uint8))
    (folder / "weights.pth").write_bytes(b"")
    return {
        "DATA": write_dataset(folder / "data"),
        "IMAGE": str(folder / "image.png"),
        "WEIGHTS": str(folder / "weights.pth"),
    }


@pytest.fixture(params=["tag", "target"])
def payload(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A config that makes the file ``ran`` beside it if it is trusted."""
    file = tmp_path / "config.yaml"
    file.write_text(PAYLOADS[request.param](tmp_path / "ran"))
    return str(file)


@pytest.mark.parametrize("name", COMMANDS)
def test_no_command_runs_it(name, payload, given, tmp_path, sentence_of):
    known = {**given, CONFIG: payload}
    words = [known.get(word, word.replace("OUT", str(tmp_path / "out"))) for word in COMMANDS[name]]
    assert "which may run any code or replace any file: give --trust-config" in sentence_of(*words)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", CALLS)
def test_no_function_runs_it(name, payload, tmp_path):
    with pytest.raises(ValueError, match="may run any code or .*trust_config=True"):
        CALLS[name](payload)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_can_be_told_to_trust_it(name, tmp_path, given, monkeypatch):
    file = tmp_path / "config.yaml"
    file.write_text(PAYLOADS["tag"](tmp_path / "ran"))
    known = {**given, CONFIG: str(file)}
    words = [known.get(word, word.replace("OUT", str(tmp_path / "out"))) for word in COMMANDS[name]]
    with pytest.raises((SystemExit, AttributeError, AssertionError, TypeError)):
        main([*words, "--trust-config"])  # what the payload leaves is no model
    assert (tmp_path / "ran").exists()
