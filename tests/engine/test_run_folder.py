from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

import pytest

from cascade_rpn_d2.engine import evaluate_checkpoint, train
from cascade_rpn_d2.engine.run_folder import hold_run_folder, make_output_folder, set_aside


def test_an_output_folder_is_made_and_left_empty(tmp_path):
    make_output_folder(tmp_path / "a" / "b")
    assert not list((tmp_path / "a" / "b").iterdir())


@pytest.mark.parametrize("start", [train, evaluate_checkpoint])
def test_a_read_only_output_folder_is_said_before_the_work(
    start, tiny_config, tmp_path, monkeypatch
):
    def read_only(*_, **__):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    config = tiny_config("out")
    config.train.init_checkpoint = "weights.pth"
    (tmp_path / "out").mkdir()
    monkeypatch.setattr(tempfile, "TemporaryFile", read_only)
    sentence = r"^Cannot write to the output folder .*out \(Read-only file system\): give another -"
    with pytest.raises(OSError, match=sentence):
        start(config)
    assert not list((tmp_path / "out").iterdir())


METRICS = '{"iteration": 0, "total_loss": 1.0}\n'
CONFIG = "model: {}\ntrain: {}\n"


def test_what_a_run_left_is_moved_and_nothing_else(tmp_path):
    of_the_run = {
        "last_checkpoint": "model_final.pth",
        "model_0000009.pth": "a",
        "model_final.pth": "b",
        "model_best.pth": "c",
        "metrics.json": METRICS,
        "events.out.tfevents.1.host": "e",
        "evaluation.json": "f",
        "evaluation_0000009.json": "g",
        "evaluation_final_tta.json": "h",
        "coco_instances_results_final.json": "i",
        "instances_predictions.pth": "j",
        "config.yaml": CONFIG,
    }
    others = {"notes.txt", "detector.pth", "evaluation_before.json", "log.txt", "proposals_x.npz"}
    others |= {"evaluation.py", "evaluation_2024.xlsx", "evaluation_2024_data"}
    for name, content in {**of_the_run, **dict.fromkeys(others, "mine")}.items():
        (tmp_path / name).write_text(content)
    (tmp_path / "other_run").mkdir()
    (tmp_path / "evaluation_1.json").mkdir()
    moved = set_aside(tmp_path)
    target = tmp_path / "previous_1"
    assert {p.name: p.read_text() for p in target.iterdir()} == of_the_run
    assert moved == {tmp_path / name: target / name for name in of_the_run}
    assert {p.name for p in tmp_path.iterdir()} == others | {
        *("other_run", "previous_1", "evaluation_1.json")
    }
    assert set_aside(tmp_path) == {}
    (tmp_path / "model_final.pth").write_text("second")
    set_aside(tmp_path)
    assert (tmp_path / "previous_2" / "model_final.pth").read_text() == "second"


def test_a_run_that_has_done_nothing_is_not_set_aside(tmp_path):
    (tmp_path / "config.yaml").write_text(CONFIG)
    (tmp_path / "metrics.json").touch()
    assert set_aside(tmp_path) == {}
    assert {p.name for p in tmp_path.iterdir()} == {"config.yaml", "metrics.json"}
    (tmp_path / "metrics.json").write_text(METRICS)
    assert len(set_aside(tmp_path)) == 2


@pytest.mark.parametrize("of_a_run", ["", "model_final.pth"])
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("config.yaml", "train: of mine"),
        ("metrics.json", '{"accuracy": 1}'),
        ("metrics.json", '{\n  "iteration": 1\n}\n'),
        ("metrics.json", "[1]\n"),
    ],
)
def test_a_file_of_the_users_own_is_not_replaced(name, content, of_a_run, tmp_path):
    (tmp_path / name).write_text(content)
    if of_a_run:
        (tmp_path / of_a_run).write_text("weights")
    before = {p.name: p.read_text() for p in tmp_path.iterdir()}
    message = f"{name} is not of a training, .*: give another --output"
    with pytest.raises(ValueError, match=message), hold_run_folder(tmp_path):
        pass
    (tmp_path / ".cascade_rpn_d2.lock").unlink()
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == before


def test_results_of_the_users_own_stay_where_there_was_no_run(tmp_path):
    for name in ("evaluation_2024.json", "coco_x_results.json", "log.txt", "config.yaml"):
        (tmp_path / name).write_text(CONFIG)
    assert set_aside(tmp_path) == {} and not (tmp_path / "previous_1").exists()


@pytest.mark.parametrize("number", [1, 3])
def test_a_run_that_cannot_be_moved_whole_stays_whole(number, tmp_path, monkeypatch):
    for name in ("last_checkpoint", "model_0000001.pth", "model_final.pth", "log.txt"):
        (tmp_path / name).write_text(name)
    before = {p: p.read_text() for p in tmp_path.iterdir()}
    rename, calls = Path.rename, []

    def failing(self, target):
        calls.append(self)
        if len(calls) == number:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(OSError, match=r"moved aside to previous_1 \(Permission denied\): give ano"):
        set_aside(tmp_path)
    assert {p: p.read_text() for p in tmp_path.iterdir()} == before
    assert len(set_aside(tmp_path)) == 3


def test_a_folder_is_made_and_held(tmp_path):
    with hold_run_folder(tmp_path / "a" / "run"):
        assert (tmp_path / "a" / "run" / ".cascade_rpn_d2.lock").exists()


def test_an_evaluation_leaves_the_config_of_a_run_and_writes_one_where_there_is_none(
    tiny_config, tmp_path
):
    train(tiny_config("out", "train.max_iter=1"))
    config = tiny_config("out", "train.max_iter=5")
    config.train.init_checkpoint = str(tmp_path / "out" / "model_final.pth")
    before = (tmp_path / "out" / "config.yaml").read_bytes()
    evaluate_checkpoint(config)
    assert (tmp_path / "out" / "config.yaml").read_bytes() == before
    config.train.output_dir = str(tmp_path / "elsewhere")
    evaluate_checkpoint(config)
    names = {p.name for p in (tmp_path / "elsewhere").iterdir()}
    assert names >= {"config.yaml", "evaluation.json"}
    assert not (tmp_path / "elsewhere" / ".cascade_rpn_d2.lock").exists()
