"""`cascade-rpn eval`: which weights it evaluates."""

from __future__ import annotations

import json

import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog

from cascade_rpn_d2 import engine, model_zoo
from cascade_rpn_lite.cli import main
from tests.engine.tiny_data import write_dataset

TINY = "tests/engine/tiny_config.py"


@pytest.fixture
def evaluated(monkeypatch):
    """The config that would be evaluated, and how."""
    seen = []
    monkeypatch.setattr(
        engine, "evaluate_checkpoint", lambda config, **how: seen.append((config, how))
    )

    def call(*words: str):
        assert main(["eval", "--num-gpus", "0", *words]) == 0
        return seen.pop()

    return call


def test_weights_are_those_given_or_the_zoos_or_the_configs(evaluated, tmp_path):
    zoo = model_zoo.get_checkpoint_file("demo/cascade_rpn.py")
    (tmp_path / "w.pth").touch()
    given = str(tmp_path / "w.pth")
    for words, expected in (
        (["demo/cascade_rpn.py"], zoo),
        (["demo/cascade_rpn.py", "--weights", given], given),
        (["demo/cascade_rpn.py", f"train.init_checkpoint={given}"], given),
        (["demo/rpn.py"], ""),
    ):
        config, how = evaluated("--config-file", *words)
        assert config.train.init_checkpoint == expected
        assert how == {"resume": False, "tta": False}


def test_the_last_checkpoint_of_a_run_is_not_replaced_by_the_zoos(evaluated):
    config, how = evaluated("--config-file", "demo/cascade_rpn.py", "--resume")
    assert config.train.init_checkpoint == "" and how["resume"]


def test_a_file_of_weights_that_is_not_there_is_one_sentence(sentence_of):
    given = ("eval", "--config-file", "demo/rpn.py", "--weights", "absent.pth", "--num-gpus", "0")
    assert "no file of weights at 'absent.pth'" in sentence_of(*given)


def test_it_evaluates(repository, tmp_path, monkeypatch):
    monkeypatch.chdir(repository)
    data = write_dataset(tmp_path / "data", images=2)
    weights = str(tmp_path / "model.pth")
    torch.save(model_zoo.get(TINY, device="cpu").state_dict(), weights)
    words = ["--config-file", TINY, "--weights", weights, "--test-data", data, "--num-gpus", "0"]
    assert main(["eval", *words, "--output-dir", str(tmp_path / "out")]) == 0
    assert "AR@100" in json.loads((tmp_path / "out/evaluation.json").read_text())["box_proposals"]


def test_the_config_of_a_run_knows_its_test_data(repository, tmp_path, monkeypatch):
    monkeypatch.chdir(repository)
    data = write_dataset(tmp_path / "data", images=2)
    run, out = str(tmp_path / "run"), str(tmp_path / "out")
    words = ["--train-data", data, "--test-data", data, "--num-gpus", "0", "--output-dir", run]
    assert main(["train", "--config-file", TINY, *words, "train.max_iter=1"]) == 0
    name = MetadataCatalog.get(DatasetCatalog.list()[-1]).name
    DatasetCatalog.remove(name)
    MetadataCatalog.remove(name)
    words = ["--config-file", f"{run}/config.yaml", "--weights", f"{run}/model_final.pth"]
    assert main(["eval", *words, "--num-gpus", "0", "--output-dir", out]) == 0
    final, again = (
        json.loads((tmp_path / file).read_text())
        for file in ("run/evaluation_final.json", "out/evaluation.json")
    )
    assert again == final
