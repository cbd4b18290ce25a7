"""`cascade-rpn train` under Detectron2's name for it; what it calls is tested in tests/engine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from cascade_rpn_d2.engine.evaluation import read_results
from tests.engine.tiny_data import write_dataset

TINY_CONFIG = "tests/engine/tiny_config.py"
TINY_DETECTOR = "tests/tiny_configs/tiny_faster_rcnn_run.py"
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_dataset(tmp_path_factory.mktemp("data"), images=4)


@pytest.fixture
def run(repository: Path, data: str, tmp_path: Path):
    """Runs the tool on a tiny config; returns the finished process."""

    def call(
        *args: str, config: str = TINY_CONFIG, launcher: tuple[str, ...] = ()
    ) -> subprocess.CompletedProcess:
        options = ["--config-file", config, "--num-gpus", "0"]
        options += ["--train-data", data, "--test-data", data, "--output-dir", str(tmp_path)]
        return subprocess.run(
            [sys.executable, *launcher, "tools/train_net.py", *options, *args],
            cwd=repository,
            env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(repository)},
            text=True,
            capture_output=True,
            timeout=300,
        )

    return call


def test_bad_input_ends_in_one_sentence(run):
    ended = run("train.max_itr=3")
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    last = ended.stderr.splitlines()[-1]
    assert last.startswith("train_net.py: The config has no key 'train.max_itr'")


@pytest.mark.slow
def test_train_then_evaluate(run, tmp_path):
    trained = run("train.max_iter=2")
    assert trained.returncode == 0, trained.stderr
    assert "| box_proposals |" in trained.stdout and "iter: 1" in trained.stdout
    found = "4 images (0 without a box), 12 boxes of 1 classes (box)"
    assert trained.stdout.count(found) == (tmp_path / "log.txt").read_text().count(found) == 1
    evaluated = run("--eval-only", f"train.init_checkpoint={tmp_path}/model_final.pth")
    assert evaluated.returncode == 0, evaluated.stderr
    results = [read_results(tmp_path / f"evaluation{n}.json")[0] for n in ("", "_final")]
    assert results[0] == results[1]


def test_augmentation_is_of_evaluations_only(refused):
    assert "give it with --eval-only" in refused("train", "--config-file", TINY_DETECTOR, "--tta")


@pytest.mark.slow
def test_evaluate_with_augmentation(run, tmp_path):
    # The weights of a run that averages them; mixed precision is of its training alone.
    averaged = ("train.max_iter=2", "train.ema.enabled=true", "train.amp.enabled=true")
    options = ("train.amp.dtype=bfloat16", "train.best_checkpoint=null")
    trained = run(*averaged, *options, config=TINY_DETECTOR)
    assert trained.returncode == 0, trained.stderr
    weights = f"train.init_checkpoint={tmp_path}/model_final.pth"
    views = ("tta.min_sizes=[48,80]", "tta.max_size=96")
    results = []
    for launcher in ((), TORCHRUN):
        evaluated = run(
            *("--eval-only", "--tta", weights, *views), config=TINY_DETECTOR, launcher=launcher
        )
        assert evaluated.returncode == 0, evaluated.stderr
        assert "6 views an image, merged by SoftNMSMerge(" in evaluated.stdout
        results.append(read_results(tmp_path / "evaluation_tta.json"))
        (tmp_path / "evaluation_tta.json").unlink()
    (one, alone), (two, together) = results
    assert one == two and "bbox" in one
    assert (alone.images, alone.machine["processes"]) == (together.images, 1)
    assert together.machine["processes"] == 2
    assert not (tmp_path / "evaluation.json").exists()


# Reports what each process ends with, since only the main one writes checkpoints.
TWO_PROCESSES = """
import math, sys, torch
from cascade_rpn_d2.engine import launch, setup_config, train, trainer
from detectron2.utils import comm

def main(bad_rank, config, data, out, overrides):
    ended = {}
    original = trainer.Trainer.after_train
    def after_train(self):
        original(self)
        ended["losses"] = self._last_losses
        ended["weights"] = self.model.module.state_dict()
    forward = trainer.Trainer._forward
    def spoilt(self, batch):
        factor = math.nan if comm.get_rank() == 1 and self.iter == 1 else 1.0
        return {name: loss * factor for name, loss in forward(self, batch).items()}
    trainer.Trainer.after_train = after_train
    if bad_rank == "bad_rank":
        trainer.Trainer._forward = spoilt
    try:
        results = train(setup_config(config, overrides, train_data=data, test_data=data,
                                     output_dir=out, device="cpu"))
        ended["results"] = results
    except FloatingPointError as error:
        ended["error"] = str(error)
    torch.save(ended, f"{out}/rank{comm.get_rank()}.pth")

if __name__ == "__main__":
    launch(main, (*sys.argv[1:5], sys.argv[5:]), num_gpus=0)
"""


@pytest.fixture
def two_processes(repository: Path, data: str, tmp_path: Path):
    """Trains in two gloo processes; returns what each ended with."""
    script = tmp_path / "two_processes.py"
    script.write_text(TWO_PROCESSES)

    def call(*overrides: str, bad_rank: str = "none") -> list[dict]:
        ended = subprocess.run(
            [sys.executable, *TORCHRUN, str(script), bad_rank]
            + [TINY_CONFIG, data, str(tmp_path), *overrides],
            cwd=repository,
            env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(repository)},
            text=True,
            capture_output=True,
            timeout=300,
        )
        assert ended.returncode == 0, ended.stderr[-3000:]
        return [torch.load(tmp_path / f"rank{rank}.pth", weights_only=True) for rank in (0, 1)]

    return call


@pytest.mark.slow
def test_two_processes_train_one_model(two_processes, tmp_path):
    first, second = two_processes(
        "train.max_iter=2", "train.accumulate=2", "train.clip_grad_norm=1"
    )
    weights = [n for n in first["weights"] if "running" not in n and "batches" not in n]
    for name in weights:
        assert torch.equal(first["weights"][name], second["weights"][name]), name
    # The reported losses are means over both.
    assert first["losses"] == second["losses"]
    assert first["results"]["box_proposals"] and not second["results"]
    stored = torch.load(tmp_path / "model_final.pth", weights_only=True)["model"]
    assert all(torch.equal(stored[name], first["weights"][name]) for name in weights)


@pytest.mark.slow
def test_two_processes_stop_together_at_the_bad_loss_of_one(two_processes):
    ended = two_processes("train.max_iter=3", bad_rank="bad_rank")
    for process in ended:
        assert (
            "diverged at iteration 1 (loss_rpn_cls = nan, loss_rpn_loc = nan)" in process["error"]
        )
    for name, weight in ended[0]["weights"].items():
        if "running" not in name:
            assert torch.equal(weight, ended[1]["weights"][name]), name
