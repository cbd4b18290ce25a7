from __future__ import annotations

import os
import socket
from types import SimpleNamespace

import pytest
import torch
from detectron2.utils import comm

from cascade_rpn_d2.engine import launch
from cascade_rpn_d2.engine.launch import _leave_group, _main
from cascade_rpn_d2.engine.stopping import Relay

NOTHING_TOLD = Relay(SimpleNamespace(value=0))


@pytest.fixture(autouse=True)
def _no_gpus(monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)


def test_one_process_calls_the_function():
    calls = []
    launch(calls.append, ("argument",), num_gpus=0)
    assert calls == ["argument"]


def test_more_gpus_than_there_are_are_refused():
    with pytest.raises(ValueError, match="--num-gpus is 2 but torch sees 0 GPUs"):
        launch(print, num_gpus=2)


def test_machines_that_would_not_meet_are_refused(monkeypatch):
    with pytest.raises(ValueError, match="started with torchrun"):
        launch(print, num_gpus=0, num_machines=2)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 8)
    with pytest.raises(ValueError, match="the same --dist-url"):
        launch(print, num_gpus=8, num_machines=2)


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="counts threads as Linux does")
@pytest.mark.parametrize("leave", [_leave_group, lambda: _main(print, (), NOTHING_TOLD)])
def test_no_thread_of_the_group_is_left_that_could_abort_the_process(tmp_path, leave):
    before = len(os.listdir("/proc/self/task"))
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path}/meet", rank=0, world_size=1
    )
    comm.create_local_process_group(1)
    comm._get_global_gloo_group()
    assert len(os.listdir("/proc/self/task")) > before
    leave()
    assert not torch.distributed.is_initialized()
    assert len(os.listdir("/proc/self/task")) == before


def test_torchrun_is_joined_and_left_again(monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for name, value in {
        "RANK": 0,
        "WORLD_SIZE": 1,
        "LOCAL_RANK": 0,
        "LOCAL_WORLD_SIZE": 1,
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": port,
    }.items():
        monkeypatch.setenv(name, str(value))
    seen = []

    def main() -> None:
        seen.append(
            (comm.get_local_rank(), comm.all_gather("here"), torch.distributed.is_initialized())
        )

    for _ in range(2):  # nothing of the first group is left for the second
        launch(main, num_gpus=0)
        assert not torch.distributed.is_initialized()
        assert comm._LOCAL_PROCESS_GROUP is None
        assert comm._get_global_gloo_group.cache_info().currsize == 0
    assert seen == [(0, ["here"], True)] * 2
