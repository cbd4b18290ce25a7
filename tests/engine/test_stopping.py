"""Signals, in this process, in those that it forks, and through launchers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader

from cascade_rpn_d2.engine import stopping
from cascade_rpn_d2.engine.command import run_command
from cascade_rpn_d2.engine.stopping import Stopped, deferred, immediate, stop_on_signals
from tests.engine.conftest import TINY_CONFIG

TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")


class Ended(BaseException):
    """Instead of the end of the process."""


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    statuses: list[int] = []

    def end(status: int) -> None:
        statuses.append(status)
        raise Ended

    monkeypatch.setattr(os, "_exit", end)
    return statuses


@pytest.mark.parametrize(
    ("number", "status", "name"),
    [(signal.SIGINT, 130, "Ctrl-C"), (signal.SIGTERM, 143, "SIGTERM"), (signal.SIGUSR1, 138, None)],
)
def test_a_command_ends_with_one_sentence_and_the_status_of_a_shell(number, status, name, capsys):
    def main(args: Namespace) -> None:
        signal.raise_signal(number)
        pytest.fail("went on")

    handler = signal.getsignal(number)
    assert run_command("tool.py", main, Namespace()) == status
    assert capsys.readouterr().err == f"\ntool.py: stopped by {name or 'SIGUSR1'}.\n"
    assert signal.getsignal(number) is handler


def test_what_is_deferred_goes_on_until_it_looks(capfd):
    with stop_on_signals(), deferred():
        with stop_on_signals():  # changes nothing
            signal.raise_signal(signal.SIGTERM)
        assert stopping.requested() == signal.SIGTERM
        with pytest.raises(Stopped), immediate():
            pytest.fail("began")
    assert not stopping.requested()
    with stop_on_signals():
        assert not stopping.requested()
    assert capfd.readouterr().err.count("SIGTERM: stopping after this iteration") == 1


def test_a_second_signal_ends_the_process_at_once(ends):
    with stop_on_signals(), deferred():
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(Ended):
            signal.raise_signal(signal.SIGINT)
    assert ends == [130]


def test_what_a_launcher_passes_on_is_no_second_signal(ends, monkeypatch):
    with stop_on_signals(forwarded=True), deferred():
        for _ in range(2):
            signal.raise_signal(signal.SIGTERM)
        assert not ends
        later = time.monotonic() + 10
        monkeypatch.setattr(time, "monotonic", lambda: later)
        with pytest.raises(Ended):
            signal.raise_signal(signal.SIGTERM)


def signal_from_elsewhere(number: int, pid: int) -> None:
    subprocess.run(["sh", "-c", f"kill -{number} {pid}"], check=True)


def test_a_forked_process_heeds_its_parent_alone():
    with stop_on_signals():
        child = os.fork()
        if not child:
            time.sleep(60)
            os._exit(1)
        try:
            for number in stopping.SIGNALS:
                signal_from_elsewhere(number, child)
            time.sleep(0.5)
            assert os.waitpid(child, os.WNOHANG) == (0, 0)
        finally:
            os.kill(child, signal.SIGTERM)
        assert os.waitpid(child, 0) == (child, 0)
        # The parent hears them as before.
        with pytest.raises(Stopped):
            signal.raise_signal(signal.SIGTERM)


def test_without_signals_being_heeded_a_fork_is_as_ever():
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    child = os.fork()
    if not child:
        time.sleep(60)
        os._exit(1)
    signal_from_elsewhere(signal.SIGTERM, child)
    assert os.waitpid(child, 0) == (child, signal.SIGTERM)
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == mask


def test_workers_of_a_loader_go_on_and_are_closed():
    with stop_on_signals(), deferred():
        batches = iter(DataLoader(list(range(8)), num_workers=2))  # type: ignore[arg-type]
        next(batches)
        for worker in batches._workers:
            for number in stopping.SIGNALS:
                signal_from_elsewhere(number, worker.pid)
        assert len(list(batches)) == 7
        workers = list(batches._workers)
        start = time.monotonic()
        del batches
        assert not any(worker.is_alive() for worker in workers)
        assert time.monotonic() - start < 4


@pytest.fixture
def start(tiny_data: str, tmp_path: Path, repository: Path) -> Iterator:
    """Starts Python on a training of the tiny config, in a session of its own; returns it."""
    started: list[subprocess.Popen] = []

    def call(*command: str, overrides: tuple[str, ...] = ()) -> subprocess.Popen:
        options = ["--config-file", TINY_CONFIG, "--num-gpus", "0"]
        options += ["--train-data", tiny_data, "--test-data", tiny_data]
        options += ["--output-dir", str(tmp_path / "out"), *overrides]
        process = subprocess.Popen(
            [sys.executable, *command, *options],
            cwd=repository,
            env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(repository)},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield call
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def await_metrics(folder: Path, lines: int = 5) -> None:
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline:
        file = folder / "metrics.json"
        if file.exists() and file.read_text().count("\n") >= lines:
            return
        time.sleep(0.1)
    pytest.fail("the training does not begin")


def losses(folder: Path) -> dict[int, float]:
    lines = [json.loads(line) for line in (folder / "metrics.json").read_text().splitlines()]
    return {line["iteration"]: line["total_loss"] for line in lines if "total_loss" in line}


@pytest.mark.slow
def test_a_signal_to_the_whole_group_is_one_sentence_and_a_checkpoint(start, tmp_path):
    overrides = ("train.max_iter=100000", "dataloader.train.num_workers=2")
    for number, resume in ((signal.SIGTERM, ()), (signal.SIGINT, ("--resume",))):
        process = start("-m", "cascade_rpn_lite", "train", overrides=(*overrides, *resume))
        if resume:
            (tmp_path / "out" / "metrics.json").unlink()
        await_metrics(tmp_path / "out")
        os.killpg(process.pid, number)
        _, stderr = process.communicate(timeout=60)
        assert process.returncode == 128 + number
        assert "Traceback" not in stderr and "worker" not in stderr.lower()
        *_, last = stderr.splitlines()
        assert last.startswith("cascade-rpn train: stopped by ") and "to go on." in last
        done = int(last.partition(" after ")[2].partition(" of ")[0])
        assert (tmp_path / "out" / "last_checkpoint").read_text() == f"model_{done - 1:07d}.pth"


# One process is told, in the middle of a step that the other takes too.
TWO_PROCESSES = """
import os, signal, sys
from detectron2.utils import comm
from cascade_rpn_d2.engine import trainer
from cascade_rpn_lite.cli import main

forward, iterations = trainer.Trainer._forward, []

def told(self, batch):
    iterations.append(self.iter)
    if comm.get_rank() == 1 and self.iter == int(os.environ["TOLD_AT"]):
        os.kill(os.getpid(), signal.SIGUSR1)
    return forward(self, batch)

trainer.Trainer._forward = told
leave = os._exit

def end(status):
    with open(f"{os.environ['ENDS']}/rank{os.environ['RANK']}", "w") as file:
        file.write(f"{status} {iterations[-1]}")
    leave(status)

os._exit = end
main(["train", *sys.argv[1:]])
"""


@pytest.mark.slow
def test_two_processes_agree_on_the_iteration_and_resume_as_if_unbroken(
    start, tmp_path, monkeypatch
):
    script = tmp_path / "two_processes.py"
    script.write_text(TWO_PROCESSES)
    monkeypatch.setenv("ENDS", str(tmp_path))
    for told, resume in (("3", ()), ("-1", ("--resume",))):
        monkeypatch.setenv("TOLD_AT", told)
        process = start(*TORCHRUN, str(script), overrides=("train.max_iter=9", *resume))
        _, stderr = process.communicate(timeout=300)
        assert bool(process.returncode) == (told == "3"), stderr[-3000:]
        if told == "3":
            ended = [(tmp_path / f"rank{rank}").read_text().split() for rank in (0, 1)]
            assert ended[0][1] == ended[1][1] in ("3", "4")
            assert {status for status, _ in ended} <= {"143", "138"}
            assert stderr.count("give the same command again with --resume to go on.") == 1
    resumed = losses(tmp_path / "out")
    process = start(*TORCHRUN, str(script), overrides=("train.max_iter=9",))
    _, stderr = process.communicate(timeout=300)
    assert process.returncode == 0, stderr[-3000:]
    assert losses(tmp_path / "out") == resumed and len(resumed) == 9


# Detectron2's launcher starts a process a GPU; on CPUs they meet through gloo.
SPAWNED = """
import sys, torch
from cascade_rpn_lite.cli import main
torch.cuda.device_count = lambda: 2
if __name__ == "__main__":
    words = sys.argv[1:]
    words[words.index("--num-gpus") + 1] = "2"
    sys.exit(main(["train", *words, "train.device=cpu"]))
"""


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="takes the place of a machine with 2 GPUs")
@pytest.mark.parametrize("whole_group", [False, True])
def test_a_launcher_tells_the_processes_that_it_starts(start, tmp_path, whole_group):
    script = tmp_path / "spawned.py"
    script.write_text(SPAWNED)
    process = start(str(script), overrides=("train.max_iter=100000",))
    await_metrics(tmp_path / "out")
    (os.killpg if whole_group else os.kill)(process.pid, signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert stderr.count("to go on.") == 1 and "Traceback" not in stderr
    assert (tmp_path / "out" / "last_checkpoint").read_text().startswith("model_")
