"""How command lines run and fail."""

from __future__ import annotations

from argparse import Namespace

import pytest
import torch

from cascade_rpn_d2.engine.command import run_command

ARGS = Namespace(num_gpus=0, num_machines=1, machine_rank=0, dist_url="auto")


@pytest.fixture(autouse=True)
def _not_under_torchrun(monkeypatch):
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)


def test_main_is_given_the_arguments():
    seen = []
    assert run_command("tool.py", seen.append, ARGS) == 0
    assert seen == [ARGS]


def test_a_gpu_is_used_where_there_is_one_unless_told_otherwise():
    seen = []
    run_command("tool.py", seen.append, Namespace(**{**vars(ARGS), "num_gpus": None}))
    assert seen[0].num_gpus == int(torch.cuda.is_available())


@pytest.mark.parametrize(("returned", "status"), [(None, 0), (0, 0), (1, 1)])
def test_a_command_of_one_process_returns_its_status(returned, status):
    assert run_command("tool.py", lambda args: returned, Namespace(device="cpu")) == status


def test_what_can_be_mended_is_one_sentence():
    def fail(args: Namespace) -> None:
        raise ValueError("give another file.")

    with pytest.raises(SystemExit, match=r"^tool\.py: give another file\.$"):
        run_command("tool.py", fail, ARGS)


def test_what_cannot_is_raised():
    def fail(args: Namespace) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_command("tool.py", fail, ARGS)
