"""`cascade-rpn eval`: which weights it evaluates."""

from __future__ import annotations

import json

import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog

from cascade_rpn_d2 import engine, model_zoo
from cascade_rpn_d2.engine.evaluation import read_results
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


@pytest.fixture
def run(repository, tmp_path, monkeypatch):
    """A run that was moved after its training, to a process that does not know its data."""
    monkeypatch.chdir(repository)
    data = write_dataset(tmp_path / "data", images=2)
    words = ["--train-data", data, "--test-data", data, "--num-gpus", "0"]
    words += ["--output-dir", str(tmp_path / "old"), "train.max_iter=1"]
    assert main(["train", "--config-file", TINY, *words]) == 0
    name = MetadataCatalog.get(DatasetCatalog.list()[-1]).name
    DatasetCatalog.remove(name)
    MetadataCatalog.remove(name)
    (tmp_path / "old").rename(tmp_path / "run")
    return tmp_path / "run"


def test_the_config_of_a_run_is_all_that_an_evaluation_needs(run):
    """Its data are recorded, and its weights and results are where it is."""
    assert main(["eval", "--config-file", str(run / "config.yaml"), "--num-gpus", "0"]) == 0
    final, again = (read_results(run / f"evaluation{name}.json")[0] for name in ("_final", ""))
    assert again == final and not (run.parent / "old").exists()


def test_results_go_elsewhere_where_that_is_said(evaluated, run):
    config = str(run / "config.yaml")
    for words, expected in (
        ([], str(run)),
        (["--output-dir", "there"], "there"),
        (["train.output_dir=there"], "there"),
    ):
        found, _ = evaluated("--config-file", config, *words)
        assert found.train.output_dir == expected
        assert found.train.init_checkpoint == str(run / "model_final.pth")


def test_a_run_without_final_weights_is_asked_for_some(run, sentence_of):
    (run / "model_final.pth").rename(run / "model_0000000.pth")
    sentence = sentence_of("eval", "--config-file", str(run / "config.yaml"), "--num-gpus", "0")
    assert f"give --weights <file>, such as {run / 'model_'}" in sentence
