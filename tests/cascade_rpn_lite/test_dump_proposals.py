"""`cascade-rpn dump-proposals`, run as a user runs it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from detectron2.config import instantiate

from cascade_rpn_d2 import model_zoo
from cascade_rpn_d2.data import read_proposals
from cascade_rpn_lite import dump_proposals
from cascade_rpn_lite.cli import parse
from tests.engine.tiny_data import write_dataset

TINY_CONFIG = "tests/engine/tiny_config.py"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_dataset(tmp_path_factory.mktemp("data"), images=7)


@pytest.fixture(scope="module")
def weights(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("weights") / "model.pth"
    model = instantiate(model_zoo.get_config(repository / TINY_CONFIG).model)
    torch.save({"model": model.state_dict()}, file)
    return str(file)


@pytest.fixture
def start(repository: Path, data: str, weights: str, tmp_path: Path):
    """Starts the tool on the tiny data with an output of that name."""

    def call(*args: str, output: str = "p.npz", launcher: tuple[str, ...] = ()):
        command = [sys.executable, *launcher, "tools/dump_proposals.py"]
        command += ["--config-file", TINY_CONFIG, "--weights", weights, "--num-gpus", "0"]
        command += ["--data", data, "--output", str(tmp_path / output), *args]
        return subprocess.Popen(
            command,
            cwd=repository,
            env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(repository)},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    return call


def finish(process: subprocess.Popen) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err


def test_a_dump_and_what_may_go_wrong(start, tmp_path, data):
    code, out, err = finish(start("--top-k", "5", "model.proposal_generator.nms_thresh=0.6"))
    assert code == 0, err
    assert "0 of 7 parts are done" in out and "Proposals of 7/7 images" in out
    found = read_proposals(tmp_path / "p.npz")
    assert len(found) == 7 and len(found.boxes) == 35
    assert found.metadata["config_name"] == TINY_CONFIG

    code, _, err = finish(start())
    assert code == 1 and "Traceback" not in err
    assert err.splitlines()[-1].startswith("dump_proposals.py: ") and "--overwrite" in err


def test_options_are_parsed_around_overrides():
    args = parse(
        dump_proposals,
        ["--config-file", "c", "a=1", "--data", "d", "--output", "o", "b=2", "--overwrite"],
        "dump-proposals",
    )
    assert args.overrides == ["a=1", "b=2"] and args.overwrite
    assert (args.weights, args.top_k, args.format, args.dist_url) == (None, None, "npz", "auto")


TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
# Runs the tool, which waits after its first part for the kill.
WAITING = """
import runpy, sys, time
from cascade_rpn_d2.engine import proposal_dump
write = proposal_dump.write_proposals
proposal_dump.write_proposals = lambda *args: (write(*args), time.sleep(300))
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.slow
def test_two_processes_go_on_with_the_parts_of_one_that_was_killed(start, tmp_path):
    assert finish(start(output="whole.npz"))[0] == 0
    killed = start(launcher=("-c", WAITING))
    deadline = time.monotonic() + 200
    while not list(tmp_path.glob("p.npz.parts/[0-9]*.npz")) and time.monotonic() < deadline:
        time.sleep(0.1)
    killed.kill()
    killed.communicate()
    assert not (tmp_path / "p.npz").exists()
    code, out, err = finish(start(launcher=TORCHRUN))
    assert code == 0, err
    assert "1 of 7 parts are done" in out
    assert (tmp_path / "p.npz").read_bytes() == (tmp_path / "whole.npz").read_bytes()


@pytest.mark.slow
def test_two_processes_fail_together_in_one_sentence(start, tmp_path):
    (tmp_path / "p.npz").write_text("precious")
    code, _, err = finish(start(launcher=TORCHRUN))
    assert code != 0 and "p.npz exists already: give --overwrite" in err
    assert (tmp_path / "p.npz").read_text() == "precious"
