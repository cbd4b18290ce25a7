"""Datasets that carry their proposals, as Detectron2's mapper and detector take them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from detectron2.config import instantiate
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data import transforms as T
from detectron2.structures import BoxMode
from detectron2.utils.events import EventStorage
from omegaconf import OmegaConf

from cascade_rpn_d2 import model_zoo
from cascade_rpn_d2.data import (
    DatasetMapper,
    ProposalFile,
    get_detection_dataset_with_proposals,
    register_coco_folder,
    write_proposals,
)
from cascade_rpn_d2.data.proposal_dataset import check_proposal_files

IDS = (3, 7, 9)  # of the annotation file, whose image 9 has no box


@pytest.fixture
def name(write, content):
    return register_coco_folder(write(content))


@pytest.fixture
def dump(tmp_path):
    """Write a file with ``count`` proposals of each image, image 7 having none."""

    def write_file(ids=IDS, count=4, file="p.npz", names=(), **options):
        rng = np.random.default_rng(0)
        boxes = [np.float32([[1, 2, 9, 8]]) + rng.random((count, 1), np.float32) for _ in ids]
        boxes = [b[: 0 if i == 7 else None] for i, b in zip(ids, boxes, strict=True)]
        logits = [rng.standard_normal(len(b)).astype(np.float32) for b in boxes]
        write_proposals(
            tmp_path / file,
            ProposalFile.from_images(ids, boxes, logits, file_names=names),
            **options,
        )
        return str(tmp_path / file)

    return write_file


def test_every_image_gets_its_proposals_best_first(name, dump):
    path = dump()
    records = get_detection_dataset_with_proposals(name, path, filter_empty=False)
    assert [r["image_id"] for r in records] == [3, 7, 9]
    assert [len(r["proposal_boxes"]) for r in records] == [4, 0, 4]
    for record in records:
        logits = record["proposal_objectness_logits"]
        assert record["proposal_boxes"].shape == (len(logits), 4)
        assert (np.diff(logits) <= 0).all() and record["proposal_bbox_mode"] == BoxMode.XYXY_ABS
    assert "proposal_boxes" not in DatasetCatalog.get(name)[0]


def test_images_without_annotations_may_be_left_out_of_either(name, dump):
    assert len(get_detection_dataset_with_proposals(name, dump(), filter_empty=True)) == 2
    path = dump(ids=(3, 7, 1000))
    assert len(get_detection_dataset_with_proposals([name], [path], filter_empty=True)) == 2
    check_proposal_files(name, path, filter_empty=True)


@pytest.mark.parametrize("check", [get_detection_dataset_with_proposals, check_proposal_files])
def test_images_without_an_entry_are_named_and_counted(name, dump, check):
    path = dump(ids=(7,))
    with pytest.raises(ValueError, match=r"no entry for 2 of the 3 images .*a\.png \(image_id 3\)"):
        check(name, path, filter_empty=False)


@pytest.mark.parametrize("check", [get_detection_dataset_with_proposals, check_proposal_files])
def test_images_of_other_data_with_the_same_ids_are_noticed(name, dump, check):
    # The dataset has sub/a.png, b.png and empty.png; folder and format may differ.
    check(name, dump(names=("x/a.jpg", "b.png", "empty.png")), filter_empty=False)
    path = dump(names=("a.png", "c.png", "empty.png"))
    with pytest.raises(ValueError, match=r"is of other data .*: its image_id 7 is c, not .*b\.png"):
        check(name, path, filter_empty=False)


def test_lists_of_a_lazy_config(name, dump):
    config = OmegaConf.create({"names": [name], "files": [dump()]})
    records = get_detection_dataset_with_proposals(config.names, config.files, topk=2)
    assert [len(r["proposal_boxes"]) for r in records] == [2, 0]


def test_each_of_several_datasets_has_its_own_file(write, content, dump):
    first = register_coco_folder(write(content))
    second = register_coco_folder(write(content, "other"))
    files = [dump(count=2, file="a.npz"), dump(count=3, file="b.npz")]
    records = get_detection_dataset_with_proposals([first, second], files)
    assert [len(r["proposal_boxes"]) for r in records] == [2, 0, 3, 0]
    with pytest.raises(ValueError, match="2 datasets but 1 files of proposals"):
        get_detection_dataset_with_proposals([first, second], files[0])
    MetadataCatalog.get(second).__dict__["thing_classes"] = ["a", "b", "c"]
    with pytest.raises(ValueError, match="different metadata"):
        get_detection_dataset_with_proposals([first, second], files)


@pytest.mark.parametrize("none", [None, [], ""])
def test_no_file_is_said_with_what_to_do(name, none):
    with pytest.raises(ValueError, match="dump-proposals` and give it as --train-proposals"):
        get_detection_dataset_with_proposals(name, none)


@pytest.mark.parametrize("options", [{}, {"allow_pickle": False}])  # as version 0.1.0 had it
def test_detectron2s_own_files_are_read(name, dump, options):
    path = dump(file="p.pkl", as_pickle=True)
    check_proposal_files(name, path)
    assert len(get_detection_dataset_with_proposals(name, path, **options)) == 2


def detector(repository):
    config = model_zoo.get_config(repository / "tests/tiny_configs/tiny_faster_rcnn.py")
    config.model.proposal_generator = None
    return instantiate(config.model)


def test_the_detector_trains_and_predicts_with_no_proposal_too(name, dump, repository):
    """Image 7 has none; in training its objects stand in for them."""
    records = get_detection_dataset_with_proposals(name, dump(), filter_empty=False)
    resize = [T.ResizeShortestEdge(60, 100)]
    model = detector(repository)
    options = {"augmentations": resize, "image_format": "BGR", "precomputed_proposal_topk": 3}
    train = [DatasetMapper(is_train=True, **options)(record) for record in records]
    assert [len(sample["proposals"]) for sample in train] == [3, 0, 3]
    # Image 9 has neither an object nor, alone in its batch, anything to learn from.
    train[2]["proposals"] = train[2]["proposals"][:0]
    with EventStorage():
        for batch in (train, train[1:2], train[2:]):
            losses = model(batch)
            assert all(torch.isfinite(loss) for loss in losses.values())
            sum(losses.values()).backward()
    model.eval()
    test = [DatasetMapper(is_train=False, **options)(record) for record in records]
    with torch.no_grad():
        outputs = model(test)
    assert [len(o["instances"]) > 0 for o in outputs] == [True, False, True]


def test_the_mapper_scales_the_proposals_with_the_image(name, dump):
    record = get_detection_dataset_with_proposals(name, dump())[0]
    mapper = DatasetMapper(
        is_train=False,
        augmentations=[T.ResizeShortestEdge(40, 1000)],  # the image is 20 x 50
        image_format="BGR",
        precomputed_proposal_topk=300,
    )
    found = mapper(record)["proposals"]
    expected = torch.from_numpy(record["proposal_boxes"]) * 2
    torch.testing.assert_close(found.proposal_boxes.tensor, expected)
