"""How the images of a run are read, from the command line to those who predict with the run."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from detectron2.config import LazyCall as L
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data import DatasetMapper as Detectron2Mapper
from omegaconf import OmegaConf

from cascade_rpn_d2 import model_zoo
from cascade_rpn_d2.data import register_coco_folder
from cascade_rpn_d2.engine import setup_config, train
from cascade_rpn_d2.engine.image_options import (
    check_dataset,
    read_alike,
    require_reading_mapper,
)
from cascade_rpn_d2.engine.predictor import load_predictor
from tests.engine.conftest import TINY_CONFIG
from tests.engine.tiny_data import write_dataset

RANGE = "+dataloader.{}.mapper.depth_range=[0, 4095]"
WITH_RANGE = [RANGE.format("train"), RANGE.format("test")]


def setup(data: str, *overrides: str, **options):
    return setup_config(TINY_CONFIG, overrides, train_data=data, test_data=data, **options)


@pytest.fixture
def deep_data(tmp_path) -> str:
    """As ``tiny_data``, of 12 bits in 16."""
    data = write_dataset(tmp_path / "deep")
    for file in Path(data.split(":")[0]).iterdir():
        image = cv2.imread(str(file), cv2.IMREAD_GRAYSCALE)
        assert cv2.imwrite(str(file), image.astype(np.uint16) * 16)
    return data


def test_a_folder_with_flaws_is_refused_before_the_run(tmp_path):
    data = write_dataset(tmp_path / "data")
    folder, file = data.split(":")
    (Path(folder) / "3.png").write_bytes(b"")
    with pytest.raises(ValueError, match=rf"^1 of the 5 images of {data} cannot be used: 1 cannot"):
        setup(data)
    content = json.loads(Path(file).read_text())
    content["images"][0]["width"] = 63
    Path(file).write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"^2 of .*0\.png has 64 x 64, not 63 x 64"):
        setup_config(TINY_CONFIG, test_data=data)
    setup(data, check_images=())


def test_images_are_looked_at_once_in_a_process(tmp_path, monkeypatch, caplog):
    data = write_dataset(tmp_path / "data")
    caplog.set_level("INFO", "cascade_rpn_d2.data.image_check")
    for _ in range(2):
        setup(data)
        assert len(caplog.messages) == 1
    setup(data, "+dataloader.test.mapper.max_pixels=4096")
    assert len(caplog.messages) == 2
    images, file = data.split(":")
    (Path(images) / "3.png").write_bytes(b"")
    Path(file).write_text(Path(file).read_text() + "\n")  # another version of the dataset
    with pytest.raises(ValueError, match=r"1 cannot be read \(3\.png\)"):
        setup(data)


def test_an_image_that_is_left_out_of_training_may_be_broken(tmp_path):
    data = write_dataset(tmp_path / "data")
    folder, file = data.split(":")
    content = json.loads(Path(file).read_text())
    content["annotations"] = [a for a in content["annotations"] if a["image_id"] != 2]
    Path(file).write_text(json.dumps(content))
    (Path(folder) / "2.png").write_bytes(b"")
    setup_config(TINY_CONFIG, train_data=data)
    with pytest.raises(ValueError, match=r"^1 of the 5 images .* cannot be read \(2\.png\)"):
        setup(data)


def test_a_dataset_that_is_made_of_a_folder_is_checked_too(tmp_path, tiny_data):
    name = register_coco_folder(write_dataset(tmp_path / "data"))
    MetadataCatalog.get("made").set(**{**MetadataCatalog.get(name).as_dict(), "name": "made"})
    MetadataCatalog.get("made").__dict__["coco_folder"] = None
    DatasetCatalog.register("made", lambda: DatasetCatalog.get(name))
    try:
        config = setup(tiny_data)
        check_dataset(config, "test", "made")
        (tmp_path / "data/images/4.png").unlink()
        with pytest.raises(ValueError, match=r"^1 of the 5 images of .*data.*json cannot be used"):
            check_dataset(config, "test", "made")
    finally:
        DatasetCatalog.remove("made")
        MetadataCatalog.remove("made")


def test_datasets_that_are_registered_are_taken_to_be_in_order(monkeypatch):
    from cascade_rpn_d2.engine import image_options

    monkeypatch.setattr(image_options, "check_images", None)
    setup_config("demo/rpn.py", device="cpu")


def test_the_range_of_a_run_is_that_of_its_predictions(deep_data, tmp_path):
    with pytest.raises(ValueError, match=r"5 have more than 8 bits .* --depth-range 0 4095\.$"):
        setup(deep_data)
    config = setup(deep_data, *WITH_RANGE, "train.max_iter=1", output_dir=str(tmp_path / "run"))
    train(config)
    again = str(tmp_path / "run/config.yaml")
    predictor, _ = load_predictor(again, str(tmp_path / "run/model_final.pth"), device="cpu")
    assert tuple(predictor.reader.depth_range) == (0, 4095)
    setup_config(again, train_data=deep_data, test_data=deep_data)


def test_one_override_is_for_training_and_evaluation_in_the_zoo():
    config = setup_config(
        "cascade_rpn/cascade_rpn_r50_fpn_1x",
        ["dataloader.train.mapper.depth_range=[0,1]", "dataloader.train.mapper.max_pixels=9"],
        device="cpu",
    )
    reader = model_zoo.InputFormat.from_config(config).reader
    assert (reader.depth_range, reader.max_pixels) == ((0, 1), 9)


def test_a_range_that_cannot_be_meant_is_refused_at_once(tiny_data):
    with pytest.raises(ValueError, match=r"The depth range is .*not \[5, 2\]"):
        setup(tiny_data, "+dataloader.train.mapper.depth_range=[5, 2]")


def test_a_mapper_that_knows_no_range_is_named():
    mapper = L(Detectron2Mapper)(is_train=True, augmentations=[], image_format="BGR")
    config = OmegaConf.create({"dataloader": {"train": {"mapper": mapper}}})
    require_reading_mapper(config)
    config.dataloader.train.mapper.depth_range = [0, 1]
    with pytest.raises(ValueError, match=r"--depth-range .* dataloader\.train is DatasetMapper"):
        require_reading_mapper(config)


def test_a_generator_reads_as_the_fine_tuning_does():
    ours, theirs = model_zoo.get_config("demo/rpn.py"), model_zoo.get_config("demo/ga_rpn.py")
    assert read_alike(theirs, ours).dataloader.test.mapper.depth_range is None
    ours.dataloader.train.mapper.depth_range = [0, 4095]
    assert read_alike(theirs, ours).dataloader.test.mapper.depth_range == [0, 4095]
