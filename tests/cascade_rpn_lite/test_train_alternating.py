"""`cascade-rpn train-alternating`, run as a user runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cascade_rpn_lite import train_alternating
from cascade_rpn_lite.cli import parse
from tests.engine.tiny_data import write_dataset
from tests.engine.tiny_models import tiny_config_file


def run(
    repository: Path, *args: str, launcher: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *launcher, "tools/train_alternating.py", "--num-gpus", "0", *args],
        cwd=repository,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(repository)},
        text=True,
        capture_output=True,
        timeout=300,
    )


def test_options_are_parsed_around_overrides():
    words = ["rpn.a=1", "--config-file", "c", "b=2", "--weights", "w", "+fast_rcnn.d=3"]
    args = parse(train_alternating, words, "train-alternating")
    assert args.overrides == ["rpn.a=1", "b=2", "+fast_rcnn.d=3"] and args.weights == "w"


def test_resume_is_what_it_does_anyway():
    words = ["--config-file", "c", "--resume", "b=2"]
    assert parse(train_alternating, words, "train-alternating").overrides == ["b=2"]


def test_a_config_of_another_model_is_one_sentence(sentence_of):
    sentence = sentence_of("train-alternating", "--config-file", "demo/rpn.py", "--num-gpus", "0")
    assert "no model.roi_heads, and alternating training takes a Faster R-CNN" in sentence


@pytest.mark.slow
def test_one_command_does_the_four_steps_also_in_two_processes(repository, tmp_path):
    data = write_dataset(tmp_path)
    arguments = [
        *("--config-file", tiny_config_file("tiny_faster_rcnn_run")),
        *("--train-data", data, "--test-data", data, "rpn.train.max_iter=2"),
        *("fast_rcnn.train.max_iter=1", "dataloader.train.total_batch_size=2", "train.seed=1"),
    ]
    two = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
    for name, launcher in (("one", ()), ("two", two)):
        folder = tmp_path / name
        ended = run(repository, *arguments, "--output-dir", str(folder), launcher=launcher)
        assert ended.returncode == 0, ended.stderr[-2000:]
        assert ended.stdout.count("| box_proposals ") >= 2
        titles = ["Step 1, RPN:", "Step 2, Fast R-CNN:", "Step 3, ", "Step 4, ", "Faster R-CNN:"]
        places = [ended.stdout.rindex(f"\n{title}") for title in titles]
        assert places == sorted(places) and f"The detector is in {folder}." in ended.stdout
        assert (folder / "model_final.pth").is_file()
    again = run(repository, *arguments, "--output-dir", str(tmp_path / "one"))
    assert again.returncode == 0 and "Starting training" not in again.stdout
    assert "\nStep 1, RPN:" in again.stdout
    changed = run(repository, *arguments, "optimizer.lr=0.5", "--output-dir", str(tmp_path / "one"))
    assert changed.returncode == 1 and "Traceback" not in changed.stderr
    assert "1_rpn holds a run with another config" in changed.stderr.splitlines()[-1]
