"""The data configs, loaded as the training command loads them."""

from __future__ import annotations

import pytest
from detectron2.config import LazyConfig, instantiate
from detectron2.data import DatasetCatalog, MetadataCatalog

from cascade_rpn_d2.data import demo, register_coco_folder
from cascade_rpn_d2.evaluation import DetectionEvaluator, ProposalRecallEvaluator


@pytest.fixture
def load(repository):
    return lambda name: LazyConfig.load(str(repository / f"configs/common/data/{name}.py"))


def test_coco_is_the_papers_recipe(load):
    data = load("coco").dataloader
    resize, flip = data.train.mapper.augmentations
    assert (resize.short_edge_length, resize.max_size, flip.prob) == (800, 1333, 0.5)
    assert data.train.total_batch_size == 16 and data.train.mapper.image_format == "BGR"
    assert (data.train.dataset.names, data.test.dataset.names) == (
        "coco_2017_train",
        "coco_2017_val",
    )
    (resize,) = data.test.mapper.augmentations
    assert (resize.short_edge_length, resize.max_size) == (800, 1333)
    assert data.test.dataset.filter_empty is False


def test_one_override_renames_the_test_set_and_the_format(load):
    data = load("coco").dataloader
    data.test.dataset.names = "other"
    data.train.mapper.image_format = "RGB"
    assert data.evaluator.dataset_name == "other"
    assert data.test.mapper.image_format == "RGB"


def test_detection_differs_in_the_evaluator_alone(load):
    proposals, detection = load("coco").dataloader, load("coco_detection").dataloader
    assert detection.evaluator.dataset_name == "coco_2017_val"
    assert "DetectionEvaluator" in str(detection.evaluator._target_)
    assert detection.train == proposals.train and detection.test == proposals.test


def test_proposals_differ_from_detection_in_the_datasets_alone(load):
    detection, data = load("coco_detection").dataloader, load("coco_proposals").dataloader
    for part in ("train", "test"):
        before, after = detection[part], data[part]
        assert after.mapper.pop("precomputed_proposal_topk") == 300
        assert after.mapper == before.mapper
        for key in ("names", "filter_empty"):
            assert after.dataset[key] == before.dataset[key]
        assert after.dataset.proposal_files is None
    assert data.evaluator == detection.evaluator


def test_fewer_proposals_are_one_override(load):
    data = load("coco_proposals").dataloader
    data.train.mapper.precomputed_proposal_topk = 100
    assert (data.train.dataset.topk, data.test.dataset.topk) == (100, 300)


def test_demo_loads_and_evaluates(load, monkeypatch):
    monkeypatch.setattr(demo, "SPLITS", {demo.TRAIN: 10, demo.VAL: 2})
    data = load("demo").dataloader
    evaluator = instantiate(data.evaluator)  # before anything is drawn
    assert isinstance(evaluator, ProposalRecallEvaluator)
    batch = next(iter(instantiate(data.train)))
    assert len(batch) == 4
    for sample in batch:
        assert sample["image"].shape[1:] == (sample["height"], sample["width"])
        assert len(sample["instances"]) > 0
    samples = [sample for batch in instantiate(data.test) for sample in batch]
    assert [sample["image_id"] for sample in samples] == [1, 2]
    evaluator.reset()
    assert evaluator.evaluate()["box_proposals"]["AR@100"] == 0


def test_a_folder_takes_the_place_of_coco(load, write, content):
    data = load("coco_detection").dataloader
    name = register_coco_folder(write(content))
    data.train.dataset.names = data.test.dataset.names = name
    data.train.total_batch_size, data.train.num_workers, data.test.num_workers = 2, 0, 0
    data.train.seed, data.train.start_batch = 3, 5
    batch = next(iter(instantiate(data.train)))
    assert len(batch) == 2 and all(len(sample["instances"]) for sample in batch)
    assert len(list(instantiate(data.test))) == 3
    assert isinstance(instantiate(data.evaluator), DetectionEvaluator)
    assert name in DatasetCatalog.list() and MetadataCatalog.get(name).thing_classes
