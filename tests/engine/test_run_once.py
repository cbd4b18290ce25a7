"""A run is done once, and its folder is not taken for that of another."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from detectron2.data import MetadataCatalog
from omegaconf import OmegaConf

from cascade_rpn_d2.data import register_coco_folder
from cascade_rpn_d2.engine import run_once
from cascade_rpn_d2.engine.run_once import (
    claim,
    evaluate_once,
    fingerprint,
    mark_of,
    results_in,
    train_once,
)


def test_a_finished_run_is_read(tiny_config, tmp_path, monkeypatch, caplog):
    config = tiny_config("run", "train.max_iter=1")
    mark = fingerprint(config)
    recall = train_once(config, mark)["box_proposals"]["AR@100"]
    assert "no checkpoint" not in caplog.text
    monkeypatch.delattr(run_once, "train")
    again = train_once(tiny_config("run", "train.max_iter=1"), mark)
    assert again["box_proposals"]["AR@100"] == recall and again == results_in(tmp_path / "run")
    with pytest.raises(ValueError, match="run holds a run with another config or other data"):
        train_once(tiny_config("run", "train.max_iter=2"), "another")


def test_an_evaluation_with_the_weights_of_another_run_is_made_once(
    tiny_config, tmp_path, monkeypatch
):
    recall = train_once(tiny_config("run", "train.max_iter=1"), "one")["box_proposals"]["AR@100"]
    weights = str(tmp_path / "run" / "model_final.pth")
    for _ in range(2):
        results = evaluate_once(tiny_config("tested"), "two", weights)
        assert results["box_proposals"]["AR@100"] == recall
        monkeypatch.delattr(run_once, "evaluate_checkpoint", raising=False)
    assert not list((tmp_path / "tested").glob("*.pth"))


def test_an_augmented_evaluation_is_told_from_a_plain_one(tmp_path, monkeypatch):
    def evaluate(config, *, name, tta):
        file = tmp_path / (f"{name}_tta.json" if tta else f"{name}.json")
        file.write_text(json.dumps({"bbox": {"AP": 2.0 if tta else 1.0}}))
        return results_in(tmp_path, tta=tta)

    monkeypatch.setattr(run_once, "evaluate_checkpoint", evaluate)
    config = OmegaConf.create({"train": {"output_dir": str(tmp_path)}})
    assert evaluate_once(config, "one", "w.pth", tta=True)["bbox"]["AP"] == 2
    assert results_in(tmp_path) is None
    with pytest.raises(ValueError, match="give another --output-dir, or remove it"):
        claim(tmp_path, "another")
    assert evaluate_once(config, "one", "w.pth")["bbox"]["AP"] == 1
    monkeypatch.delattr(run_once, "evaluate_checkpoint")
    assert evaluate_once(config, "one", "w.pth", tta=True)["bbox"]["AP"] == 2


def test_a_run_that_has_done_nothing_gives_way(tmp_path):
    folder = tmp_path / "outer" / "run"
    assert mark_of(folder) is None and results_in(folder) is None
    for mark in ("one", "one", "another"):
        claim(folder, mark)
        assert mark_of(folder) == mark


@pytest.mark.parametrize("file", ["last_checkpoint", "evaluation_final.json", "p.npz.parts/0.npz"])
def test_a_run_that_has_done_something_does_not(tmp_path, file):
    claim(tmp_path, "one")
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).touch()
    claim(tmp_path, "one")
    with pytest.raises(ValueError, match="give another --output-dir, or remove it"):
        claim(tmp_path, "another")
    assert mark_of(tmp_path) == "one"


def test_checkpoints_of_an_unknown_run_are_not_gone_on_with(tmp_path):
    (tmp_path / "last_checkpoint").write_text("model_final.pth")
    with pytest.raises(ValueError, match="holds a run with another config"):
        claim(tmp_path, "mine")


def test_proposals_of_the_user_s_own_are_in_nobody_s_way(tmp_path):
    (tmp_path / "proposals.npz").touch()
    claim(tmp_path, "mine")
    assert mark_of(tmp_path) == "mine"


def test_a_folder_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="Cannot make the output folder .* give another --output-dir"):
        claim(tmp_path / "file" / "run", "mine")


def test_fingerprint_is_of_what_decides_the_outcome(tiny_config):
    def mark(*overrides: str) -> str:
        return fingerprint(tiny_config("run", *overrides))

    assert mark() == mark() == mark("train.output_dir=elsewhere") == mark("train.log_period=5")
    assert mark() != mark("train.seed=2")
    assert mark() != mark("optimizer.lr=0.1")


def test_fingerprint_sees_other_annotations(tiny_config, tiny_data, tmp_path):
    images, _, annotations = tiny_data.rpartition(":")
    file = tmp_path / "annotations.json"

    def mark() -> str:
        config = tiny_config("run")
        config.dataloader.train.dataset.names = register_coco_folder(f"{images}:{file}")
        run_once._annotations.cache_clear()
        return fingerprint(config)

    content = json.loads(Path(annotations).read_text())
    file.write_text(json.dumps(content))
    before = mark()
    assert mark() == before
    content["annotations"].pop()
    file.write_text(json.dumps(content))
    assert mark() != before


def test_fingerprint_needs_no_test_data_that_are_not_used(tiny_config):
    config = tiny_config("run")
    config.dataloader.test.dataset.names = "of_nobody"
    MetadataCatalog.get("of_nobody").set(json_file="nowhere.json")
    try:
        with pytest.raises(ValueError, match="No dataset is registered as 'of_nobody'"):
            fingerprint(config)
        config.dataloader.evaluator = None
        assert fingerprint(config)
    finally:
        MetadataCatalog.remove("of_nobody")
