from __future__ import annotations

import pytest

from cascade_rpn_d2.engine import launch


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
