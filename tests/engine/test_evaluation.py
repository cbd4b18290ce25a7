from __future__ import annotations

import json
import math
import re
from pathlib import Path

import pytest
import torch
from detectron2.config import instantiate
from omegaconf import OmegaConf

from cascade_rpn_d2.checkpoint import Checkpointer
from cascade_rpn_d2.config.max_detections import set_max_detections
from cascade_rpn_d2.engine import evaluate, evaluate_checkpoint
from cascade_rpn_d2.engine.evaluation import (
    results_table,
    warn_of_many_objects,
    write_results,
)
from cascade_rpn_d2.engine.evaluators import try_evaluation
from cascade_rpn_d2.engine.setup import start_logging, use_data
from tests.engine.constant_evaluator import ConstantEvaluator
from tests.engine.tiny_data import write_dataset

RESULTS = {
    "box_proposals": {"AR@100": 61.1, "ARl@100": math.nan},
    "bbox": {"AP": 40.5, "AP-cat": 1},
}


def test_the_table_has_a_line_a_task_and_no_single_classes():
    lines = results_table(RESULTS).splitlines()
    assert [cell.strip() for cell in lines[0].split("|")[1:-1]] == ["task", "AR@100", "ARl@100"]
    assert [cell.strip() for cell in lines[2].split("|")[1:-1]] == ["box_proposals", "61.10", "nan"]
    assert [cell.strip() for cell in lines[-1].split("|")[1:-1]] == ["bbox", "40.50"]


def test_the_json_has_every_metric_and_null_for_none(tmp_path):
    path = tmp_path / "results.json"
    write_results(RESULTS, str(path))
    assert json.loads(path.read_text(), parse_constant=pytest.fail) == {
        "box_proposals": {"AR@100": 61.1, "ARl@100": None},
        "bbox": {"AP": 40.5, "AP-cat": 1.0},
    }


def test_the_weights_of_a_checkpoint_are_what_is_evaluated(tiny_config, tmp_path):
    config = tiny_config("out")
    model = instantiate(config.model)
    with torch.no_grad():
        # Proposals of no size, which no object can be covered by.
        model.proposal_generator.rpn_head.anchor_deltas.bias[2:] = -9.0
    (tmp_path / "out").mkdir()
    expected = evaluate(config, model)
    assert model.training
    assert expected["box_proposals"]["AR@1000"] == 0.0
    other = evaluate(config, instantiate(config.model), name="other")
    assert other["box_proposals"]["AR@1000"] > 0.0

    Checkpointer(model, str(tmp_path / "out")).save("weights")
    config.train.init_checkpoint = str(tmp_path / "out" / "weights.pth")
    assert evaluate_checkpoint(config)["box_proposals"]["AR@1000"] == 0.0
    written = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert written["box_proposals"]["AR@1000"] == 0.0
    config.train.init_checkpoint = ""
    assert evaluate_checkpoint(config, resume=True)["box_proposals"]["AR@1000"] == 0.0


def test_several_evaluators_give_one_dict(tiny_config, tmp_path):
    config = tiny_config("out")
    (tmp_path / "out").mkdir()
    second = {"_target_": ConstantEvaluator}
    config.dataloader.evaluator = OmegaConf.create(
        [config.dataloader.evaluator, second], flags={"allow_objects": True}
    )
    config.dataloader.evaluator[0].dataset_name = config.dataloader.test.dataset.names
    results = evaluate(config, instantiate(config.model))
    assert set(results) == {"box_proposals", "constant"}


def test_nothing_to_evaluate_is_said(tiny_config):
    config = tiny_config("out")
    with pytest.raises(ValueError, match="give --weights"):
        evaluate_checkpoint(config)
    config.dataloader.evaluator = None
    with pytest.raises(ValueError, match="give --test-data"):
        evaluate_checkpoint(config)


def test_the_checkpoint_of_another_model_is_not_evaluated(tiny_config, tmp_path):
    config = tiny_config("out")
    model = instantiate(config.model)
    (tmp_path / "out").mkdir()
    Checkpointer(model.backbone, str(tmp_path / "out")).save("backbone")
    config.train.init_checkpoint = str(tmp_path / "out" / "backbone.pth")
    with pytest.raises(ValueError, match="of another model .* keys are missing: .*unexpected"):
        evaluate_checkpoint(config)


def test_an_evaluation_writes_what_was_found_beside_its_metrics(
    tiny_config, tiny_detector, tmp_path, capfd
):
    config = tiny_config("out")
    (tmp_path / "out").mkdir()
    model = instantiate(config.model)
    evaluate(config, model, name="evaluation_0000003", write_predictions=False)
    start_logging(None)
    evaluate(config, model, name="evaluation_final")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "coco_proposals_results_final.json",
        "evaluation_0000003.json",
        "evaluation_final.json",
    ]
    found = json.loads((tmp_path / "out/coco_proposals_results_final.json").read_text())
    assert {record["image_id"] for record in found} == set(range(5))
    assert capfd.readouterr().out.count("AR@1000") == 1  # in one table

    detector = tiny_detector("detector", ("cat", "dog"))
    evaluate(detector, instantiate(detector.model))
    found = json.loads((tmp_path / "detector/out/coco_instances_results.json").read_text())
    assert found and {record["category_id"] for record in found} <= {1, 2}
    assert capfd.readouterr().out.count("AP50") == 1


def test_test_images_without_annotations_are_predicted_and_said_to_be(
    tiny_detector, tmp_path, caplog
):
    config = tiny_detector("out", ("cat", "dog"))
    spec = write_dataset(tmp_path / "test", classes=("cat", "dog"))
    file = Path(spec.rpartition(":")[2])
    content = json.loads(file.read_text())
    del content["annotations"]
    file.write_text(json.dumps(content))
    use_data(config, None, spec)
    assert try_evaluation(config) is None
    model = instantiate(config.model)
    assert evaluate(config, model, write_predictions=False) == {}
    assert not (tmp_path / "out/out").exists()
    with caplog.at_level("INFO", "cascade_rpn_d2"):
        assert evaluate(config, model) == {}
    assert "has no annotations: there is nothing to measure" in caplog.text
    (file,) = (tmp_path / "out/out").iterdir()
    assert json.loads(file.read_text())


def test_more_objects_than_detections_that_count_are_said_at_the_start(tiny_detector, caplog):
    for limit, said in ((2, True), (3, False)):
        caplog.clear()
        config = tiny_detector(f"limit_{limit}", ("cat", "dog"))
        set_max_detections(config, limit)
        warn_of_many_objects(config)
        sentence = (
            "5 of the 5 images of annotations_.* have more than 2 objects, up to 3, .*tions 3"
        )
        assert bool(re.search(sentence, caplog.text)) == said, caplog.text
