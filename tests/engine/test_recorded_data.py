"""The config of a run knows its data, also once their classes were put in another order."""

from __future__ import annotations

from pathlib import Path

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from omegaconf import OmegaConf

from cascade_rpn_d2.engine import evaluate_checkpoint, setup_config
from cascade_rpn_d2.engine.categories import take_over_classes
from cascade_rpn_d2.engine.labelled_images import choose_dataset
from cascade_rpn_d2.engine.recorded_data import record_data, register_recorded
from cascade_rpn_d2.engine.setup import prepare_run, require_registered
from tests.engine.conftest import TINY_CONFIG
from tests.engine.tiny_data import write_dataset
from tests.engine.tiny_models import tiny_config_file

DETECTOR = "tiny_faster_rcnn_run"
EVALUATOR = "cascade_rpn_d2.evaluation.DetectionEvaluator"


def folder(path: Path, *classes: str) -> str:
    return write_dataset(path, images=1, classes=classes)


def forget(*names: str) -> None:
    """As a new process knows nothing of them."""
    for name in [x for x in DatasetCatalog.list() if x.startswith(names)]:
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)


def test_a_config_of_a_run_knows_its_data(tiny_config, tmp_path):
    config = tiny_config("run")
    prepare_run(config)
    again = setup_config(str(tmp_path / "run/config.yaml"))
    for part in ("train", "test"):
        name = again.dataloader[part].dataset.names
        DatasetCatalog.pop(name, None)
        MetadataCatalog.pop(name, None)
        require_registered(again, part)
        assert len(DatasetCatalog.get(name)) == 5
    assert choose_dataset(again) == again.dataloader.test.dataset.names


def test_recorded_data_that_are_gone_are_asked_for(tiny_config, tmp_path):
    spec = folder(tmp_path / "data", "box")
    config = setup_config(TINY_CONFIG, test_data=spec, output_dir=str(tmp_path / "run"))
    DatasetCatalog.pop(config.dataloader.test.dataset.names)
    (tmp_path / "data/annotations.json").unlink()
    config.train.init_checkpoint = "weights.pth"
    with pytest.raises(
        ValueError, match=r"cannot be used \(.*json does not exist\): .*--test-data "
    ):
        evaluate_checkpoint(config)
    with pytest.raises(
        ValueError, match=r"cannot be used \(.*json does not exist\): .*--data images"
    ):
        choose_dataset(config)


@pytest.fixture
def matched(tmp_path):
    """The config of a run on data of the classes cat, dog, whose weights have dog, cat."""
    train, test = folder(tmp_path / "a", "cat", "dog"), folder(tmp_path / "b", "dog", "cat")
    config = setup_config(
        tiny_config_file(DETECTOR),
        [f"dataloader.evaluator._target_={EVALUATOR}"],
        train_data=train,
        test_data=test,
        output_dir=str(tmp_path / "run"),
        device="cpu",
    )
    take_over_classes(config, ("dog", "cat"))
    prepare_run(config)
    return str(tmp_path / "run/config.yaml")


def test_data_that_a_run_matched_are_matched_again(matched):
    for _ in range(2):  # also of the run that goes on with it
        config = setup_config(matched, check_images=())
        assert OmegaConf.to_container(config.train.categories) == [
            {"id": 2, "name": "dog"},
            {"id": 1, "name": "cat"},
        ]
        names = [config.dataloader[part].dataset.names for part in ("train", "test")]
        assert "_by_name_" in names[0] and "_by_name_" not in names[1]
        forget(*names, names[0].partition("_by_name_")[0])
        for part in ("train", "test"):
            require_registered(config, part)
        assert [config.dataloader[part].dataset.names for part in ("train", "test")] == names
        for name in names:
            assert MetadataCatalog.get(name).thing_classes == ["dog", "cat"]
        (record,) = DatasetCatalog.get(names[0])
        assert {a["category_id"] for a in record["annotations"]} == {1}  # its category 1 is cat
        take_over_classes(config, ("dog", "cat"))
        prepare_run(config)
    assert choose_dataset(config) == names[1]


def test_names_of_matched_data_do_not_grow(matched):
    config = setup_config(matched)
    take_over_classes(config, ("cat", "dog"))
    assert "_by_name_" not in config.dataloader.train.dataset.names
    take_over_classes(config, ("dog", "cat"))
    assert config.dataloader.train.dataset.names.count("_by_name_") == 1


def test_data_that_python_registers_are_matched_again(matched):
    config = setup_config(matched)
    name = config.dataloader.train.dataset.names
    original = name.partition("_by_name_")[0]
    config.train.datasets = None
    DatasetCatalog.pop(name)
    require_registered(config, "train")
    assert config.dataloader.train.dataset.names == name and name in DatasetCatalog.list()
    forget(original)
    with pytest.raises(ValueError, match="No dataset is registered as"):
        require_registered(config, "train")


@pytest.mark.parametrize("data", ["photos", "~/photos", "./photos", "{}/../photos"])
def test_recorded_paths_are_absolute(data, tmp_path, monkeypatch):
    spec = folder(tmp_path / "photos", "box")
    config = setup_config(TINY_CONFIG, test_data=spec, output_dir=str(tmp_path / "run"))
    (entry,) = config.train.datasets
    assert entry.data == spec
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    forget(entry.name)
    relative = data.format(tmp_path / "photos")
    entry.data = f"{relative}/images:{relative}/annotations.json"
    with pytest.raises(ValueError, match=r"\(.* has no absolute paths\): give --test-data"):
        register_recorded(config, "test")
    record_data(config, entry.name, entry.data)  # of a command line
    register_recorded(config, "test")
    assert config.dataloader.test.dataset.names in DatasetCatalog.list()
