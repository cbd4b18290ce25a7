"""Evaluators of a config are built, and tried before a training."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from detectron2.config import instantiate
from detectron2.data import DatasetCatalog, MetadataCatalog
from omegaconf import OmegaConf

from cascade_rpn_d2.engine import evaluate, train
from cascade_rpn_d2.engine.evaluators import try_evaluation
from tests.engine.constant_evaluator import ConstantEvaluator


def test_an_evaluation_that_is_tried_tells_its_metrics(tiny_config, tiny_detector, tmp_path, capfd):
    config = tiny_config("out")
    names = try_evaluation(config)
    (tmp_path / "out").mkdir()
    results = evaluate(config, instantiate(config.model))
    assert names == {f"{task}/{name}" for task, values in results.items() for name in values}
    capfd.readouterr()
    detector = tiny_detector("detector", ("cat", "dog"))
    assert {"bbox/AP", "bbox/AP90", "bbox/AP-dog"} <= try_evaluation(detector)
    assert capfd.readouterr().out == ""
    for change in ("evaluator", "test"):
        detector.dataloader[change] = None
        assert try_evaluation(detector) is None


@pytest.mark.parametrize("evaluator", ["DetectionEvaluator", "COCOEvaluator"])
def test_an_evaluation_that_is_tried_writes_nothing(evaluator, tiny_detector, tmp_path):
    config = tiny_detector("detector", ("cat", "dog"))
    package = "cascade_rpn_d2" if evaluator == "DetectionEvaluator" else "detectron2"
    config.dataloader.evaluator._target_ = f"{package}.evaluation.{evaluator}"
    config.dataloader.evaluator.output_dir = config.train.output_dir
    config.dataloader.evaluator.distributed = True
    before = {path for path in tmp_path.rglob("*")}
    assert "bbox/AP" in try_evaluation(config)
    assert {path for path in tmp_path.rglob("*")} == before
    # Its folder is where Detectron2's evaluator puts annotations that are in no file.
    name = config.dataloader.test.dataset.names
    records, classes = DatasetCatalog.get(name), MetadataCatalog.get(name).thing_classes
    DatasetCatalog.register(f"{name}_{evaluator}_in_no_file", lambda: records)
    MetadataCatalog.get(f"{name}_{evaluator}_in_no_file").thing_classes = classes
    config.dataloader.test.dataset.names = f"{name}_{evaluator}_in_no_file"
    config.dataloader.evaluator.dataset_name = f"{name}_{evaluator}_in_no_file"
    assert try_evaluation(config) is None
    assert {path for path in tmp_path.rglob("*")} == before
    config.dataloader.evaluator.output_dir = None
    with pytest.raises(ValueError, match="output_dir must be provided"):
        try_evaluation(config)


def test_metrics_that_cannot_be_known_before_are_none(tiny_detector):
    config = tiny_detector("masks", ("cat",))
    config.model.roi_heads.mask_head = {"of": "some kind"}
    assert try_evaluation(config) is None
    config = tiny_detector("foreign", ("cat",))
    config.dataloader.evaluator = OmegaConf.create(
        {"_target_": ConstantEvaluator}, flags={"allow_objects": True}
    )
    assert try_evaluation(config) is None


@pytest.mark.parametrize(
    ("key", "value"), [("id", "a1"), ("area", "large"), ("bbox", "none")], ids=lambda x: x
)
def test_data_that_cannot_be_evaluated_on_are_refused_before_training(tiny_detector, key, value):
    config = tiny_detector("faulty", ("cat", "dog"))
    name = config.dataloader.test.dataset.names
    file = Path(MetadataCatalog.get(name).json_file)
    content = json.loads(file.read_text())
    for annotation in content["annotations"]:
        annotation[key] = value
    file.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=f"The test data '{name}' cannot be evaluated on .*: mend"):
        train(config)
    assert not Path(config.train.output_dir).exists()
