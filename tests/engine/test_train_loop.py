"""Whole runs: what they leave, and that a resumed run equals one that was not interrupted."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import pytest
import torch
from detectron2.modeling.proposal_generator import RPN
from detectron2.utils.events import get_event_storage

from cascade_rpn_d2.config.yaml_file import read_yaml
from cascade_rpn_d2.engine import Trainer, TrainingDiverged, evaluate_checkpoint, metrics, train
from cascade_rpn_d2.engine import train_loop as train_loop_module
from cascade_rpn_d2.engine import trainer as trainer_module
from cascade_rpn_d2.engine.command import run_command
from cascade_rpn_d2.engine.setup import start_logging
from cascade_rpn_d2.engine.stopping import Stopped
from cascade_rpn_d2.files.lock import lock_folder
from tests.engine.conftest import TINY_CONFIG

ALL_SWITCHES = (
    "train.ema.enabled=true",
    "train.amp.enabled=true",
    "train.amp.dtype=float16",
    "train.accumulate=2",
    "train.clip_grad_norm=0.5",
)


class Killed(BaseException):
    """Ends a run as abruptly as one can within a process."""


def losses(folder: Path) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (folder / "metrics.json").read_text().splitlines()]
    wanted = ("iteration", "total_loss", "loss_rpn_cls", "loss_rpn_loc", "lr")
    return [{k: line[k] for k in wanted} for line in lines if "total_loss" in line]


def checkpoint(folder: Path, name: str = "model_final.pth") -> dict:
    return torch.load(folder / name, weights_only=True)


def assert_equal(left: object, right: object, path: str = "") -> None:
    assert type(left) is type(right), path
    if isinstance(left, torch.Tensor):
        assert torch.equal(left, right), path
    elif isinstance(left, dict):
        assert list(left) == list(right), path
        for key in left:
            assert_equal(left[key], right[key], f"{path}.{key}")
    elif isinstance(left, list):
        assert len(left) == len(right), path
        for i, pair in enumerate(zip(left, right, strict=True)):
            assert_equal(*pair, f"{path}.{i}")
    else:
        assert left == right, path


def interrupt(monkeypatch: pytest.MonkeyPatch, iteration: int) -> None:
    original = Trainer.run_step

    def run_step(self):
        if self.iter == iteration:
            raise Killed
        original(self)

    monkeypatch.setattr(Trainer, "run_step", run_step)


def test_a_run_leaves_metrics_checkpoints_and_evaluations(tiny_config, tmp_path):
    results = train(tiny_config("out", "train.eval_period=4", "train.checkpointer.max_to_keep=1"))
    out = tmp_path / "out"
    names = {path.name for path in out.iterdir()}
    assert {"config.yaml", "log.txt", "metrics.json", "model_best.pth"} <= names
    assert {"evaluation_0000003.json", "evaluation_final.json"} <= names
    assert any(name.startswith("events.out.tfevents") for name in names)
    assert (out / "last_checkpoint").read_text() == "model_final.pth"
    assert {n for n in names if n.startswith("model_0")} == {"model_0000005.pth"}
    assert [line["iteration"] for line in losses(out)] == list(range(6))
    final = json.loads((out / "evaluation_final.json").read_text())
    assert final["box_proposals"]["AR@100"] == results["box_proposals"]["AR@100"] > 0
    assert "trainer" not in checkpoint(out, "model_best.pth")
    assert "eta: " in (out / "log.txt").read_text()


@pytest.mark.parametrize("switches", [(), ALL_SWITCHES], ids=["plain", "all_switches"])
def test_a_resumed_run_equals_the_uninterrupted_one(switches, tiny_config, tmp_path, monkeypatch):
    train(tiny_config("straight", "train.eval_period=2", *switches))
    with monkeypatch.context() as patch, pytest.raises(Killed):
        interrupt(patch, 4)
        train(tiny_config("resumed", "train.eval_period=2", *switches))
    assert [line["iteration"] for line in losses(tmp_path / "resumed")] == [0, 1, 2, 3]
    train(tiny_config("resumed", "train.eval_period=2", *switches), resume=True)

    assert losses(tmp_path / "resumed") == losses(tmp_path / "straight")
    straight, resumed = (checkpoint(tmp_path / name) for name in ("straight", "resumed"))
    assert_equal(resumed, straight)
    assert ("raw_model" in straight) == bool(switches)


def test_another_seed_gives_another_run(tiny_config, tmp_path):
    train(tiny_config("five", "train.max_iter=2"))
    train(tiny_config("six", "train.max_iter=2", "train.seed=6"))
    assert losses(tmp_path / "five") != losses(tmp_path / "six")


def test_a_drawn_seed_is_logged_and_kept_when_resumed(tiny_config, tmp_path, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(Killed):
        interrupt(patch, 4)
        train(tiny_config("out", "train.seed=null"))
    log = (tmp_path / "out" / "log.txt").read_text()
    seed = int(log.split("Seed ")[1].split(",")[0])
    train(tiny_config("out", "train.seed=null"), resume=True)
    train(tiny_config("again", f"train.seed={seed}"))
    assert losses(tmp_path / "out") == losses(tmp_path / "again")


def test_averaged_weights_are_what_is_stored_and_evaluated(tiny_config, tmp_path):
    train(tiny_config("plain"))
    train(tiny_config("averaged", "train.ema.enabled=true"))
    plain, averaged = checkpoint(tmp_path / "plain"), checkpoint(tmp_path / "averaged")
    assert_equal(averaged["raw_model"], plain["model"])
    key = "proposal_generator.rpn_head.conv.weight"
    assert not torch.equal(averaged["model"][key], plain["model"][key])


def test_a_run_is_resumed_with_an_average_if_and_only_if_it_had_one(tiny_config):
    train(tiny_config("without", "train.max_iter=3"))
    with pytest.raises(ValueError, match="cannot be resumed from, it has no 'raw_model'"):
        train(tiny_config("without", "train.ema.enabled=true"), resume=True)
    train(tiny_config("with", "train.max_iter=3", "train.ema.enabled=true"))
    with pytest.raises(ValueError, match=r"resume it with train\.ema\.enabled=true"):
        train(tiny_config("with"), resume=True)


def test_resuming_a_finished_run_evaluates_it_and_more_iterations_go_on(tiny_config, tmp_path):
    first = train(tiny_config("out", "train.max_iter=3"))
    again = train(tiny_config("out", "train.max_iter=3"), resume=True)
    assert again["box_proposals"] == pytest.approx(first["box_proposals"], nan_ok=True)
    assert len(losses(tmp_path / "out")) == 3
    train(tiny_config("out", "train.max_iter=4"), resume=True)
    assert [line["iteration"] for line in losses(tmp_path / "out")] == [0, 1, 2, 3]


def test_a_metric_that_the_evaluation_does_not_give_is_refused_at_the_start(tiny_config, tmp_path):
    config = tiny_config("out", "train.best_checkpoint.metric=box_proposals/AR@10")
    with pytest.raises(ValueError, match=r"set it to 'box_proposals/AR@100'"):
        train(config)
    assert not (tmp_path / "out").exists()


def test_no_space_for_metrics_says_what_to_do(tiny_config, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(metrics._Json, "write", full)
    with pytest.raises(OSError, match=r"No space is left for .*run: make room, then --resume"):
        train(tiny_config("run"))


def test_resume_without_a_checkpoint_starts(tiny_config, tmp_path):
    train(tiny_config("out", "train.max_iter=1"), resume=True)
    assert len(losses(tmp_path / "out")) == 1


def test_a_new_run_in_an_old_folder_sets_the_old_one_aside_whole(tiny_config, tmp_path, caplog):
    train(tiny_config("out", "train.max_iter=2"))
    out = tmp_path / "out"
    weights = str(out / "model_final.pth")
    config = tiny_config("out")
    config.train.init_checkpoint = weights
    evaluate_checkpoint(config)
    (out / "notes.txt").write_text("of the user")
    before = {p.name: p.read_bytes() for p in out.iterdir() if p.is_file()}
    caplog.clear()
    # Its own weights to start from move along.
    train(tiny_config("out", "train.max_iter=1", f"train.init_checkpoint={weights}"))
    assert len(losses(out)) == 1 and not (out / "evaluation.json").exists()
    kept = {p.name: p.read_bytes() for p in (out / "previous_1").iterdir()}
    stay = {"log.txt", "notes.txt", ".cascade_rpn_d2.lock"}
    assert kept == {name: content for name, content in before.items() if name not in stay}
    said = [r.message for r in caplog.records if "held a run before" in r.message]
    assert len(said) == 1 and "are now in previous_1; --resume goes on" in said[0]
    assert " files (model_best.pth, model_final.pth, last_checkpoint, ...) are" in said[0]
    train(tiny_config("out", "train.max_iter=1"))
    assert (out / "previous_2" / "model_final.pth").exists()


@pytest.mark.parametrize(
    "fault",
    [
        "train.init_checkpoint={page}",
        "model.backbone.out_features=[res9]",
        "dataloader.train.total_batch_size=0",
    ],
)
def test_a_start_that_fails_leaves_the_old_run_to_be_resumed(fault, tiny_config, tmp_path):
    train(tiny_config("out", "train.max_iter=2"))
    out, page = tmp_path / "out", tmp_path / "page.pth"
    page.write_text("<!DOCTYPE html>")
    before = {p: p.read_bytes() for p in out.iterdir() if p.name != "log.txt"}
    config = tiny_config("out", fault.format(page=page))
    with pytest.raises((ValueError, AssertionError)):
        train(config)
    assert {p: p.read_bytes() for p in out.iterdir() if p.name != "log.txt"} == before
    train(tiny_config("out", "train.max_iter=3"), resume=True)
    assert [line["iteration"] for line in losses(out)] == [0, 1, 2]


def test_weights_of_the_old_run_are_recorded_where_they_are_now(tiny_config, tmp_path):
    train(tiny_config("out", "train.max_iter=1"))
    (tmp_path / "link").symlink_to("out")
    weights = f"{tmp_path / 'link' / 'model_final.pth'}?matching_heuristics=True"
    train(tiny_config("out", "train.max_iter=1", f"train.init_checkpoint='{weights}'"))
    recorded = read_yaml(tmp_path / "out" / "config.yaml")["train"]["init_checkpoint"]
    now = tmp_path / "out" / "previous_1" / "model_final.pth"
    assert recorded == f"{now}?matching_heuristics=True" and now.exists()


def test_resume_without_a_checkpoint_says_so_and_where_an_earlier_one_is(
    tiny_config, tmp_path, caplog
):
    def said() -> str:
        found = [r.message for r in caplog.records if "There is no checkpoint" in r.message]
        caplog.clear()
        (sentence,) = found
        return sentence

    out = tmp_path / "out"
    train(tiny_config("out", "train.max_iter=1"), resume=True)
    assert said().endswith("out to resume from: the run begins anew.")
    train(tiny_config("out", "train.max_iter=1"))
    for file in (*out.glob("model_*"), out / "last_checkpoint"):
        file.unlink()
    train(tiny_config("out", "train.max_iter=1"), resume=True)
    sentence = said()
    assert "begins anew, and " in sentence and "are now in previous_2" in sentence
    assert sentence.endswith(f"has one: go on with --output-dir {out / 'previous_1'} --resume.")
    train(tiny_config("out", "train.max_iter=2"), resume=True)
    assert not [r for r in caplog.records if "There is no checkpoint" in r.message]


def test_checkpoints_of_which_none_is_named_are_not_moved_aside_by_resume(tiny_config, tmp_path):
    train(tiny_config("out", "train.max_iter=3"))
    out = tmp_path / "out"
    (out / "last_checkpoint").unlink()
    os.utime(out / "model_0000002.pth", (1, 1))
    with pytest.raises(
        ValueError, match=r"out has checkpoints, but .*: write model_final\.pth, wh"
    ):
        train(tiny_config("out"), resume=True)
    assert (out / "model_final.pth").exists() and not (out / "previous_1").exists()
    (out / "last_checkpoint").write_text("model_final.pth")
    train(tiny_config("out", "train.max_iter=4"), resume=True)
    assert len(losses(out)) == 4


def test_a_second_training_in_one_folder_is_refused_and_loses_nothing(
    tiny_config, tmp_path, repository
):
    train(tiny_config("out", "train.max_iter=1"))
    before = {p: p.read_bytes() for p in (tmp_path / "out").iterdir() if p.is_file()}
    program = (
        "import sys; from cascade_rpn_d2.files.lock import lock_folder\n"
        "with lock_folder(sys.argv[1]): print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "out")]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, cwd=repository, **pipes) as other:
        assert other.stdout.readline() == b"held\n"
        for resume in (False, True):
            with pytest.raises(
                OSError, match=rf"Another run writes to .*out \(process {other.pid}\): wait for"
            ):
                train(tiny_config("out"), resume=resume)
        config = tiny_config("out")
        config.train.init_checkpoint = str(tmp_path / "out" / "model_final.pth")
        del before[tmp_path / "out" / "log.txt"], before[tmp_path / "out" / ".cascade_rpn_d2.lock"]
        evaluate_checkpoint(config)  # takes no lock
        assert {p: p.read_bytes() for p in before} == before
        other.communicate()
    train(tiny_config("out"), resume=True)


def test_a_training_inside_a_block_that_holds_its_folder_goes_on(tiny_config, tmp_path):
    (tmp_path / "out").mkdir()
    with lock_folder(tmp_path / "out"):
        train(tiny_config("out", "train.max_iter=1"))
        with (
            (tmp_path / "out" / ".cascade_rpn_d2.lock").open() as file,
            pytest.raises(BlockingIOError),
        ):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def signal_at(monkeypatch, iteration: int, number: int = signal.SIGTERM) -> None:
    original = Trainer.run_step

    def run_step(self):
        if self.iter == iteration:
            signal.raise_signal(number)
        original(self)

    monkeypatch.setattr(Trainer, "run_step", run_step)


@pytest.mark.parametrize(
    ("number", "switches"),
    [(signal.SIGTERM, ALL_SWITCHES), (signal.SIGINT, ()), (signal.SIGUSR1, ())],
    ids=["SIGTERM, all_switches", "Ctrl-C", "SIGUSR1"],
)
def test_a_signal_stops_after_a_checkpoint_and_the_resumed_run_equals_the_unbroken_one(
    number, switches, tiny_config, tmp_path, monkeypatch, capfd
):
    train(tiny_config("straight", *switches))
    handler = signal.getsignal(number)
    with monkeypatch.context() as patch, pytest.raises(Stopped) as stop:
        signal_at(patch, 3, number)
        train(tiny_config("resumed", *switches))
    assert stop.value.code == 128 + number and signal.getsignal(number) is handler
    assert "4 of 6 iterations, which are in" in stop.value.message
    assert "with --resume to go on" in stop.value.message
    assert "stopping after this iteration" in capfd.readouterr().err
    out = tmp_path / "resumed"
    assert (out / "last_checkpoint").read_text() == "model_0000003.pth"
    assert [line["iteration"] for line in losses(out)] == [0, 1, 2, 3]
    train(tiny_config("resumed", *switches), resume=True)
    assert losses(out) == losses(tmp_path / "straight")
    assert_equal(*(checkpoint(tmp_path / name) for name in ("resumed", "straight")))


@pytest.mark.parametrize("switches", [(), ALL_SWITCHES], ids=["plain", "all_switches"])
def test_a_slow_step_is_given_up_as_if_it_had_not_begun(
    switches, tiny_config, tmp_path, monkeypatch
):
    train(tiny_config("straight", *switches))
    loss = RPN.losses

    def losses_late(self, *arguments):
        # The statistics of the norms have taken up the batch by now.
        if get_event_storage().iter == 4:
            signal.raise_signal(signal.SIGTERM)
        return loss(self, *arguments)

    with monkeypatch.context() as patch, pytest.raises(Stopped, match="after 4 of 6 iterations"):
        patch.setattr(RPN, "losses", losses_late)
        patch.setattr(trainer_module, "_SLOW_SECONDS", 0.0)
        train(tiny_config("resumed", *switches))
    out = tmp_path / "resumed"
    assert (out / "last_checkpoint").read_text() == "model_0000003.pth"
    train(tiny_config("resumed", *switches), resume=True)
    assert losses(out) == losses(tmp_path / "straight")
    assert_equal(*(checkpoint(tmp_path / name) for name in ("resumed", "straight")))


def test_a_stop_is_said_once_on_the_screen_and_in_the_log(
    tiny_config, tmp_path, monkeypatch, capfd
):
    signal_at(monkeypatch, 1)

    def main(args):
        start_logging()
        train(tiny_config("out"))

    assert run_command("tool", main, Namespace()) == 143
    shown = "".join(capfd.readouterr())
    assert shown.count("stopped by SIGTERM after 2 of 6 iterations") == 1
    log = (tmp_path / "out" / "log.txt").read_text()
    assert log.count("The training was stopped by SIGTERM after 2 of 6 iterations") == 1


def test_a_signal_in_the_first_step_leaves_nothing_to_resume(tiny_config, tmp_path, monkeypatch):
    signal_at(monkeypatch, 0)
    with pytest.raises(Stopped, match="before the first iteration was done: give the same command"):
        train(tiny_config("out"))
    assert not list((tmp_path / "out").glob("*.pth"))


def test_a_signal_at_an_iteration_with_a_checkpoint_writes_no_second_one(
    tiny_config, tmp_path, monkeypatch
):
    signal_at(monkeypatch, 2)
    with pytest.raises(Stopped):
        train(tiny_config("out"))
    assert [p.name for p in (tmp_path / "out").glob("*.pth")] == ["model_0000002.pth"]


def test_a_run_stopped_in_an_evaluation_saves_and_makes_it_up_when_resumed(
    tiny_config, tmp_path, monkeypatch
):
    periods = ("train.eval_period=2", "train.checkpointer.period=5")
    train(tiny_config("straight", *periods))
    evaluate = train_loop_module.evaluate

    def interrupted(config, model, *, name, **options):
        if name == "evaluation_0000003":
            signal.raise_signal(signal.SIGTERM)
        return evaluate(config, model, name=name, **options)

    with monkeypatch.context() as patch, pytest.raises(Stopped, match="4 of 6 iterations"):
        patch.setattr(train_loop_module, "evaluate", interrupted)
        train(tiny_config("out", *periods))
    out = tmp_path / "out"
    assert (out / "last_checkpoint").read_text() == "model_0000003.pth"
    assert {p.name for p in out.glob("evaluation_*")} == {"evaluation_0000001.json"}
    train(tiny_config("out", *periods), resume=True)
    for name in ("evaluation_0000003.json", "evaluation_0000005.json", "evaluation_final.json"):
        other = tmp_path / "straight" / name
        assert (out / name).exists() == other.exists()
        assert not other.exists() or (out / name).read_text() == other.read_text()
    assert evaluated(out) == evaluated(tmp_path / "straight")
    best = [checkpoint(tmp_path / name, "model_best.pth")["value"] for name in ("out", "straight")]
    assert best[0] == best[1]


@pytest.mark.parametrize("more", [0, 2], ids=["the same", "more iterations"])
def test_a_run_stopped_in_its_last_evaluation_ends_as_an_unbroken_one(
    more, tiny_config, tmp_path, monkeypatch
):
    # The last checkpoint is not one of every so many iterations.
    options = ("train.eval_period=2", "train.checkpointer.period=4")
    train(tiny_config("straight", *options))
    evaluate = train_loop_module.evaluate

    def interrupted(config, model, *, name, **more):
        if name == "evaluation_final":
            signal.raise_signal(signal.SIGTERM)
        return evaluate(config, model, name=name, **more)

    out, straight = tmp_path / "out", tmp_path / "straight"
    with monkeypatch.context() as patch:
        patch.setattr(train_loop_module, "evaluate", interrupted)
        for resume in (False, True):
            with pytest.raises(Stopped) as stop:
                train(tiny_config("out", *options), resume=resume)
            again = "again for that." if resume else "again with --resume for that."
            assert stop.value.message.startswith("stopped by SIGTERM after the last of 6 iter")
            assert stop.value.message.endswith(f"the evaluation: give the same command {again}")
            assert (out / "last_checkpoint").read_text() == "model_final.pth"
            assert not (out / "model_0000006.pth").exists()
            assert checkpoint(out)["iteration"] == 5
    if more:
        for folder in ("straight", "out"):
            train(tiny_config(folder, *options, f"train.max_iter={6 + more}"), resume=True)
        assert [line["iteration"] for line in losses(out)] == list(range(6 + more))
    else:
        train(tiny_config("out", *options), resume=True)
    assert losses(out) == losses(straight) and evaluated(out) == evaluated(straight)
    for name in ("model_final.pth", "model_best.pth"):
        assert_equal(checkpoint(out, name), checkpoint(straight, name))
    names = [
        {p.name for p in x.iterdir() if not p.name.startswith("events")} for x in (out, straight)
    ]
    assert names[0] == names[1]


def test_a_finished_run_that_is_resumed_has_its_last_line_of_metrics_once(tiny_config, tmp_path):
    train(tiny_config("out", "train.max_iter=2"))
    before = (tmp_path / "out" / "metrics.json").read_text()
    (tmp_path / "out" / "model_best.pth").unlink()
    train(tiny_config("out", "train.max_iter=2"), resume=True)
    assert (tmp_path / "out" / "metrics.json").read_text() == before
    assert checkpoint(tmp_path / "out", "model_best.pth")["iteration"] == 2


def evaluated(folder: Path) -> dict[int, dict[str, float | None]]:
    lines = [json.loads(line) for line in (folder / "metrics.json").read_text().splitlines()]
    found: dict[int, dict[str, float | None]] = {}
    for line in lines:
        values = {k: v for k, v in line.items() if k.startswith("box_proposals/")}
        if values:
            found[line["iteration"]] = values
    return found


def test_every_evaluation_is_in_the_metrics_at_once(tiny_config, tmp_path, monkeypatch):
    config = tiny_config("out", "train.eval_period=2", "train.log_period=20")
    with monkeypatch.context() as patch, pytest.raises(Killed):
        interrupt(patch, 4)
        train(config)
    assert list(evaluated(tmp_path / "out")) == [1, 3]


def test_metrics_are_strict_json_with_null_for_what_has_no_value(tiny_config, tmp_path):
    train(tiny_config("out", "train.max_iter=1"))
    for line in (tmp_path / "out" / "metrics.json").read_text().splitlines():
        json.loads(line, parse_constant=pytest.fail)
    # No object of the tiny pictures is large.
    assert evaluated(tmp_path / "out")[1]["box_proposals/ARl@100"] is None


def test_metrics_with_a_line_of_no_run_are_not_gone_on_with(tiny_config, tmp_path):
    train(tiny_config("out", "train.max_iter=1"))
    file = tmp_path / "out" / "metrics.json"
    file.write_text(file.read_text() + '{"epoch": 1}\n')
    with pytest.raises(ValueError, match=r"Line \d of .*metrics\.json is not of a run: remove"):
        train(tiny_config("out"), resume=True)
    assert '{"epoch": 1}' in file.read_text()


@pytest.mark.parametrize("iteration", [4, 5], ids=["midway", "in the last iteration"])
def test_a_diverged_run_keeps_its_last_good_checkpoint(
    iteration, tiny_config, tmp_path, monkeypatch
):
    original = Trainer._forward

    def forward(self, batch):
        losses = dict(original(self, batch))
        if self.iter == iteration:
            losses["loss_rpn_loc"] = losses["loss_rpn_loc"] * torch.nan
        return losses

    monkeypatch.setattr(Trainer, "_forward", forward)
    with pytest.raises(
        TrainingDiverged,
        match=rf"iteration {iteration} \(loss_rpn_cls = 0\.\d+, loss_rpn_loc = nan",
    ):
        train(tiny_config("out"))
    out = tmp_path / "out"
    assert {path.name for path in out.glob("*.pth")} == {"model_0000002.pth"}
    assert (out / "last_checkpoint").read_text() == "model_0000002.pth"
    assert not list(out.glob("evaluation*"))
    assert "Traceback" not in (out / "log.txt").read_text()
    monkeypatch.undo()
    train(tiny_config("out"), resume=True)
    assert len(losses(out)) == 6


KILL_WHILE_WRITING = """
import os, signal, sys, torch
from cascade_rpn_d2.engine import setup_config, train
save = torch.save
def die(data, file):
    if data["iteration"] < 5:
        return save(data, file)
    file.write(b"half a checkpoint")
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)
torch.save = die
config, data, out = sys.argv[1:]
train(setup_config(config, train_data=data, test_data=data, output_dir=out))
"""


@pytest.mark.slow
def test_a_kill_while_a_checkpoint_is_written_loses_only_that_one(
    tiny_config, tiny_data, tmp_path, repository
):
    killed = subprocess.run(
        [sys.executable, "-c", KILL_WHILE_WRITING, TINY_CONFIG, tiny_data, str(tmp_path / "out")],
        cwd=repository,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        text=True,
        capture_output=True,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    out = tmp_path / "out"
    assert (out / "last_checkpoint").read_text() == "model_0000002.pth"
    assert list(out.glob(".model_0000005.pth.*.tmp"))
    train(tiny_config("straight"))
    train(tiny_config("out"), resume=True)
    assert losses(out) == losses(tmp_path / "straight")
    assert not list(out.glob("*.tmp")) and not list(out.glob(".*.tmp"))


@pytest.mark.parametrize("switches", [(), ALL_SWITCHES])
def test_a_frozen_part_is_what_the_run_started_from(tiny_config, tmp_path, switches):
    train(tiny_config("first", "train.max_iter=2", "train.seed=1"))
    start = str(tmp_path / "first" / "model_final.pth")
    own = ("train.max_iter=3", f"train.init_checkpoint='{start}'", "train.frozen=[backbone]")
    train(tiny_config("second", *own, *switches))
    before, after = (checkpoint(tmp_path / x)["model"] for x in ("first", "second"))
    changed = {key.partition(".")[0] for key in before if not torch.equal(before[key], after[key])}
    assert changed == {"proposal_generator"} and before.keys() == after.keys()


def test_a_part_to_freeze_that_is_not_there_ends_the_run_before_it_begins(tiny_config, tmp_path):
    with pytest.raises(ValueError, match=r"no part 'trunk' to freeze: it has backbone, proposal_"):
        train(tiny_config("run", "train.frozen=[trunk]"))
    assert not (tmp_path / "run" / "config.yaml").exists()
