"""What an evaluation says of its data, its time and its machine."""

from __future__ import annotations

import json

import pytest
import torch
from detectron2.config import instantiate
from torch import nn

import cascade_rpn_d2
from cascade_rpn_d2.engine import evaluate, measurement, run_once
from cascade_rpn_d2.engine.evaluation import read_results, write_results
from cascade_rpn_d2.engine.measurement import Measurement, TimedModel, machine


class Timed(nn.Module):
    """Takes so many seconds for every batch, as a list says, on a clock of its own."""

    def __init__(self, *seconds: float) -> None:
        super().__init__()
        self.todo, self.now = list(seconds), 0.0

    def forward(self, images):
        self.now += self.todo.pop(0)
        return [{} for _ in images]


class Called(Timed):
    def __call__(self, images):  # as DetectorWithTTA has it
        return self.forward(images)


@pytest.mark.parametrize("kind", [Timed, Called])
def test_the_first_batches_do_not_count_and_images_share_the_time_of_theirs(kind, monkeypatch):
    inner = kind(5.0, 6.0, 0.5, 0.125)
    monkeypatch.setattr(measurement.time, "perf_counter", lambda: inner.now)
    model = TimedModel(inner, warm_up=2)
    for batch in ("a", "b", "cd", "e"):
        inner.now += 100  # of reading the images
        assert len(model(batch)) == len(batch)
    assert model.images == 5
    assert model.seconds == [0.25, 0.25, 0.125]


def test_the_clock_waits_for_the_gpu(monkeypatch):
    said = []
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: said.append("wait"))
    monkeypatch.setattr(TimedModel, "device", torch.device("cuda", 0))
    model = TimedModel(nn.Identity())
    model.model.forward = lambda images: said.append("run")
    model(["image"])
    assert said == ["wait", "run", "wait"]


def test_an_evaluation_writes_what_it_was_made_on(tiny_config, tiny_data, tmp_path, monkeypatch):
    config = tiny_config("out")
    (tmp_path / "out").mkdir()
    model = instantiate(config.model)
    results = evaluate(config, model)
    assert model.training and measurement.KEY not in results, "metrics alone are returned"
    read, found = read_results(tmp_path / "out" / "evaluation.json")
    assert read["box_proposals"]["AR@100"] == results["box_proposals"]["AR@100"]
    assert found is not None
    ((name, data),) = found.test_data
    assert name == config.dataloader.test.dataset.names and data == tiny_data
    # Five images warm it up, and there are no more.
    assert (found.images, found.timed, found.seconds) == (5, 0, None)
    assert found.machine["versions"]["cascade_rpn_d2"] == cascade_rpn_d2.__version__
    assert found.machine["device"] and found.machine["processes"] == 1

    monkeypatch.setattr(TimedModel.__init__, "__defaults__", (2,))
    evaluate(config, model, name="again")
    _, again = read_results(tmp_path / "out" / "again.json")
    assert again is not None and again.seconds is not None
    assert again.timed == 3 and 0 < again.seconds < 60
    assert again.machine == found.machine


def test_registered_data_are_called_by_their_name(tiny_config, tmp_path):
    config = tiny_config("out")
    config.train.datasets = []
    found = measurement.measurement_of(config, TimedModel(nn.Identity()))
    assert found.test_data == ((config.dataloader.test.dataset.names, None),)


def test_the_median_is_over_the_images_of_all_processes(tiny_config, monkeypatch):
    model = TimedModel(nn.Identity())
    model.images, model.seconds = 4, [0.1, 0.2, 9.0]
    monkeypatch.setattr(measurement.comm, "all_gather", lambda own: [own, (2, [0.3, 0.4])])
    found = measurement.measurement_of(tiny_config("out"), model)
    assert (found.images, found.seconds, found.timed) == (6, 0.3, 5)
    assert found.machine["processes"] == 2


def test_it_is_read_as_it_was_written(tmp_path):
    file = tmp_path / "evaluation.json"
    written = Measurement(
        (("coco_2017_val", None), ("mine", "a:b.json")), 7, 0.25, 2, machine(torch.device("cpu"))
    )
    write_results({"bbox": {"AP": 1.0}}, str(file), written)
    assert read_results(file) == ({"bbox": {"AP": 1.0}}, written)
    assert json.loads(file.read_text())["measurement"]["median_seconds_per_image"] == 0.25
    # Those of earlier versions say nothing.
    file.write_text('{"bbox": {"AP": 1.0}}')
    assert read_results(file) == ({"bbox": {"AP": 1.0}}, None)


@pytest.mark.parametrize("content", [
    "[1]", "{", '{"AP": 1.0}', '{"measurement": {}}', '{"measurement": 3}',
    '{"bbox": {"AP": "high"}}', '{"bbox": {"AP": true}}', '{"bbox": {"AP": [1.0]}}', "[" * 100_000,
])  # fmt: skip
def test_other_files_are_not_of_an_evaluation(tmp_path, content):
    file = tmp_path / "x.json"
    file.write_text(content)
    with pytest.raises(ValueError, match=r"x.json holds no evaluation: give the evaluation"):
        read_results(file)


def test_a_finished_run_keeps_its_time(tiny_config, tmp_path, monkeypatch):
    monkeypatch.setattr(TimedModel.__init__, "__defaults__", (2,))
    run_once.train_once(tiny_config("run", "train.max_iter=1"), "mark")
    first = run_once.measurement_in(tmp_path / "run")
    assert first is not None and first.seconds is not None
    monkeypatch.delattr(run_once, "train")
    run_once.train_once(tiny_config("run", "train.max_iter=1"), "mark")
    assert run_once.measurement_in(tmp_path / "run") == first
    assert run_once.measurement_in(tmp_path) is None
