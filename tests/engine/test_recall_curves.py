"""Curves of recall are made of the numbers that evaluations report."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from detectron2.config import instantiate
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.evaluation import inference_on_dataset
from detectron2.structures import Boxes, Instances

from cascade_rpn_d2.engine.generators import proposals_only
from cascade_rpn_d2.engine.labelled_images import choose_dataset, load_records, objects_of
from cascade_rpn_d2.engine.recall_curves import (
    RecallCurves,
    measure_recall,
    recall_of_proposals,
    recall_table,
    write_recall,
)
from cascade_rpn_d2.evaluation import ProposalRecallEvaluator
from tests.engine.tiny_models import tiny_model


@pytest.fixture
def dataset(tiny_data):
    return choose_dataset(tiny_model("tiny_rpn").config(), tiny_data)


@pytest.mark.parametrize("name", ["tiny_cascade_rpn", "tiny_cascade_faster_rcnn"])
def test_averages_are_those_of_an_evaluation_of_the_config(name, dataset):
    # Of an untrained model many proposals are needed for one to fit by chance.
    model = tiny_model(name, "model.proposal_generator.post_nms_topk=[1000,1000]")
    predictor = model.load("cpu", trained=False)
    curves = measure_recall(predictor, dataset, load_records(dataset), [100, 5, 1000])
    config = model.config()
    config.dataloader.test.dataset.names = dataset
    config.dataloader.test.num_workers = 0
    results = inference_on_dataset(
        proposals_only(predictor).model,
        instantiate(config.dataloader.test),
        ProposalRecallEvaluator(dataset, limits=(5, 100, 1000)),
    )["box_proposals"]
    assert curves.numbers == (5, 100, 1000)
    for number, average in curves.averages():
        assert average == pytest.approx(results[f"AR@{number:g}"])
        assert np.mean(curves.against_iou(int(number))) == pytest.approx(average)
    assert curves.averages()[-1][1] > 0


def shifted(record, share):
    """The objects of a record as proposals, moved to the right by a share of their width."""
    boxes = objects_of(record)
    boxes[:, 0::2] += share * (boxes[:, 2:3] - boxes[:, 0:1])
    found = Instances((64, 64))
    found.proposal_boxes = Boxes(boxes)
    found.objectness_logits = torch.arange(len(boxes)).float()
    return record, found


def test_proposals_from_anywhere_are_measured(dataset):
    records = load_records(dataset)
    perfect = recall_of_proposals(dataset, [shifted(r, 0) for r in records], [1, 3])
    assert perfect.against_iou(3) == [100.0] * 10
    assert perfect.against_iou(1) == pytest.approx([100 / 3] * 10)
    # Moved by an eighth: IoU (1 - 1/8) / (1 + 1/8) = 0.78, found up to a threshold of 0.75.
    moved = recall_of_proposals(dataset, [shifted(r, 1 / 8) for r in records], [3])
    assert moved.against_iou(3)[:6] == [100.0] * 6 and moved.against_iou(3)[-2:] == [0.0] * 2
    half = recall_of_proposals(dataset, [shifted(r, 0) for r in records[:2]], [3])
    assert half.averages() == [(3.0, pytest.approx(40.0))]  # two of five images
    with pytest.raises(ValueError, match=r"at \(1, 3\) proposals, not at 2"):
        perfect.against_iou(2)


def test_a_dataset_without_objects_is_refused():
    name = "recall_curves_empty"
    record = {"image_id": 0, "width": 9, "height": 9, "file_name": "x", "annotations": []}
    DatasetCatalog.register(name, lambda: [record])
    MetadataCatalog.get(name).thing_classes = ["thing"]
    try:
        with pytest.raises(ValueError, match=f"'{name}' has no object"):
            recall_of_proposals(name, [])
    finally:
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)


def test_table_and_json_hold_the_values(tmp_path):
    recalls = np.linspace(0, 90, 20).reshape(2, 10)
    model = tiny_model("tiny_rpn")
    curves = {model.name: RecallCurves((10, 100), recalls)}
    assert "21.3" in recall_table(curves) and "68.7" in recall_table(curves)
    write_recall(tmp_path / "a.json", "data", [model], curves)
    written = json.loads((tmp_path / "a.json").read_text())
    entry = written["models"]["tiny_rpn"]
    assert written["dataset"] == "data" and len(written["iou_thresholds"]) == 10
    assert entry["recall"]["100"] == recalls[1].tolist()
    assert entry["AR"]["10"] == pytest.approx(recalls[0].mean())
