"""`cascade-rpn finetune`, run as a user runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from cascade_rpn_d2 import model_zoo
from cascade_rpn_d2.engine.evaluation import read_results
from cascade_rpn_d2.model_zoo import instantiate_model
from cascade_rpn_lite import finetune
from cascade_rpn_lite.cli import parse
from tests.engine.tiny_data import write_dataset
from tests.engine.tiny_models import tiny_config_file, write_weights


def run(
    repository: Path, *args: str, launcher: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *launcher, "tools/finetune_with_proposals.py", "--num-gpus", "0", *args],
        cwd=repository,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(repository)},
        text=True,
        capture_output=True,
        timeout=300,
    )


def test_options_are_parsed_around_overrides():
    words = ["a=1", "--detector-weights", "w", "b=2", "--evaluate-before"]
    args = parse(finetune, words, "finetune")
    assert args.overrides == ["a=1", "b=2"] and args.evaluate_before
    assert args.config_file in model_zoo.list_configs()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--generator-config", "c", "--test-proposals", "p.npz"], "either a generator or files"),
        (["--generator-weights", "w"], "takes --generator-config"),
    ],
)
def test_what_does_not_go_together_is_refused(refused, words, message):
    assert message in refused("finetune", *words)


@pytest.mark.slow
def test_bad_input_is_one_sentence(repository, tmp_path):
    ended = run(repository, "--output-dir", str(tmp_path / "out"))
    assert ended.returncode == 1 and "Traceback" not in ended.stderr
    last = ended.stderr.splitlines()[-1]
    assert last.startswith("finetune_with_proposals.py: There is no detector to fine-tune")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_one_command_does_it_all_also_in_two_processes(repository, tmp_path):
    data = write_dataset(tmp_path)
    config = tmp_path / "detector.py"
    config.write_text(
        "from cascade_rpn_d2 import model_zoo\n"
        f"base = model_zoo.get_config({tiny_config_file('tiny_faster_rcnn')!r})\n"
        "model, dataloader = base.model, base.dataloader\n"
        "model.roi_heads.num_classes = 1\n"
        "dataloader.train.mapper.augmentations = []\n"
    )
    weights = tmp_path / "detector.pth"
    model = instantiate_model(model_zoo.get_config(config))
    torch.save({"model": model.state_dict()}, weights)
    arguments = [
        *("--detector-config", str(config), "--detector-weights", str(weights)),
        *("--generator-config", tiny_config_file("tiny_rpn")),
        *("--generator-weights", write_weights("tiny_rpn", tmp_path)),
        *("--train-data", data, "--test-data", data, "--evaluate-before"),
        *("train.max_iter=2", "dataloader.train.total_batch_size=2"),
        *("dataloader.train.num_workers=0", "dataloader.test.num_workers=0"),
    ]
    two = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
    for name, launcher in (("one", ()), ("two", two)):
        folder = tmp_path / name
        ended = run(repository, *arguments, "--output-dir", str(folder), launcher=launcher)
        assert ended.returncode == 0, ended.stderr[-2000:]
        before, _, after = ended.stdout.rpartition("After the fine-tuning:")
        assert "| bbox" in after and "Before the fine-tuning:" in before
        assert (folder / "model_final.pth").is_file()
    results = [
        read_results(tmp_path / name / "evaluation_before.json")[0] for name in ("one", "two")
    ]
    assert results[0] == results[1]
    again = run(repository, *arguments, "--output-dir", str(tmp_path / "one"))
    assert again.returncode == 0 and "Starting training" not in again.stdout
