from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from detectron2.utils.events import EventStorage

from cascade_rpn_d2.engine.metrics import MetricsWriter, keep_metrics_before


@pytest.fixture
def run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Callable[..., list[int]]:
    """Takes steps that last so many seconds; returns the iterations that were printed."""

    def call(steps: int, seconds: float, period: int = 20) -> list[int]:
        now = 0.0
        writer = MetricsWriter(tmp_path, steps, period, clock=lambda: now)
        writer.trainer = SimpleNamespace(max_iter=steps)
        with EventStorage() as storage, caplog.at_level(logging.INFO):
            for iteration in range(steps):
                storage.iter = writer.trainer.iter = iteration
                storage.put_scalars(total_loss=float(iteration), time=seconds)
                now += seconds
                writer.after_step()
            storage.iter = writer.trainer.iter = steps
            writer.after_train()
        printed = [r.getMessage() for r in caplog.records if "iter: " in r.getMessage()]
        return [int(line.partition("iter: ")[2].split()[0]) for line in printed]

    return call


def lines(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "metrics.json").read_text().splitlines()]


def test_the_first_iteration_is_printed_and_then_every_period(run, tmp_path):
    assert run(50, seconds=0.1) == [0, 19, 39, 49]
    assert [line["iteration"] for line in lines(tmp_path)] == [19, 39, 49]


def test_slow_iterations_are_printed_by_the_clock_but_written_by_the_period(run, tmp_path):
    assert run(20, seconds=70.0) == list(range(20))
    assert [line["iteration"] for line in lines(tmp_path)] == [19]


def test_iterations_of_some_seconds_are_printed_every_half_a_minute(run):
    assert run(20, seconds=7.0) == [0, 5, 10, 15, 19]


def test_what_comes_after_a_flush_of_its_iteration_is_written_too(tmp_path):
    writer = MetricsWriter(tmp_path, 9, 20)
    with EventStorage() as storage:
        storage.put_scalar("total_loss", 1.0)
        writer.flush()
        storage.put_scalar("bbox/AP", 30.0, smoothing_hint=False)
        storage.put_scalar("bbox/APl", math.nan, smoothing_hint=False)
        for _ in range(2):
            writer.flush()
        writer.trainer = SimpleNamespace(iter=0, max_iter=9)
        writer.after_train()
    assert lines(tmp_path) == [
        {"iteration": 0, "total_loss": 1.0},
        {"iteration": 0, "bbox/AP": 30.0, "bbox/APl": None},
    ]


def test_lines_that_will_be_repeated_are_dropped_and_half_a_line(tmp_path):
    file = tmp_path / "metrics.json"
    keep_metrics_before(tmp_path, 3)
    assert not file.exists()
    file.write_text('{"iteration": 1}\n{"iteration": 3}\n{"iterat')
    keep_metrics_before(tmp_path, 3)
    assert file.read_text() == '{"iteration": 1}\n'


@pytest.mark.parametrize("line", ['{"epoch": 1}', "[1]", "loss = 3", "", '{"iteration": "x"}'])
def test_a_line_of_no_run_is_named_and_kept(tmp_path, line):
    file = tmp_path / "metrics.json"
    content = f'{{"iteration": 1}}\n{line}\n'
    file.write_text(content)
    with pytest.raises(ValueError, match=r"^Line 2 of .*metrics\.json is not of a run: remove"):
        keep_metrics_before(tmp_path, 3)
    assert file.read_text() == content
