"""A run, its checkpoints, and the names of its classes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from detectron2.config import instantiate

from cascade_rpn_d2.checkpoint import Checkpointer
from cascade_rpn_d2.checkpoint.categories import categories_of_file
from cascade_rpn_d2.engine import evaluate_checkpoint, setup_config, train
from cascade_rpn_d2.engine.categories import adopt_categories, class_layers
from cascade_rpn_d2.engine.predictor import load_predictor
from tests.engine.tiny_data import write_dataset
from tests.engine.tiny_models import tiny_config_file

CONFIG = "tiny_faster_rcnn_run"


def exchanged(spec: str, folder: Path, order: tuple[str, ...], first_id: int = 7) -> str:
    """The same objects in a file whose categories have other ids."""
    images, _, file = spec.rpartition(":")
    content = json.loads(Path(file).read_text())
    names = {category["id"]: category["name"] for category in content["categories"]}
    ids = {name: first_id + i for i, name in enumerate(order)}
    content["categories"] = [{"id": i, "name": name} for name, i in ids.items()]
    for annotation in content["annotations"]:
        annotation["category_id"] = ids[names[annotation["category_id"]]]
    folder.mkdir()
    (folder / "other.json").write_text(json.dumps(content))
    return f"{images}:{folder / 'other.json'}"


@pytest.fixture
def data(tmp_path):
    """Objects of class cat and, in every other annotation, dog."""
    spec = write_dataset(tmp_path / "data", classes=("cat", "dog"))
    file = Path(spec.rpartition(":")[2])
    content = json.loads(file.read_text())
    for annotation in content["annotations"][::2]:
        annotation["category_id"] = 2
    file.write_text(json.dumps(content))
    return spec


def config_for(train_data, test_data, folder, *overrides):
    config = setup_config(
        tiny_config_file(CONFIG),
        ["train.max_iter=2", "train.seed=1", "optimizer.lr=0.001", *overrides],
        train_data=train_data,
        test_data=test_data,
        output_dir=str(folder),
        device="cpu",
    )
    config.dataloader.evaluator._target_ = "cascade_rpn_d2.evaluation.DetectionEvaluator"
    config.dataloader.train.total_batch_size = 1
    return config


@pytest.fixture
def run(data, tmp_path):
    """A run on cats and dogs."""
    config = config_for(data, data, tmp_path / "run", "train.checkpointer.period=1")
    train(config)
    return tmp_path / "run"


def test_a_trained_detector_keeps_its_precision_on_exchanged_ids(run, data, tmp_path):
    """By the run's config and by another config, whose order the checkpoint corrects."""
    file = str(run / "model_final.pth")
    assert categories_of_file(file) == (("cat", "dog"), (1, 2))
    written = json.loads((run / "evaluation_final.json").read_text())["bbox"]
    final = {name: value for name, value in written.items() if value is not None}
    assert final["AP-cat"] != final["AP-dog"]
    other = exchanged(data, tmp_path / "other", ("dog", "cat"))
    by_run = setup_config(str(run / "config.yaml"), test_data=other, weights=file)
    by_other = config_for(other, other, run / "x")
    by_other.train.init_checkpoint = file
    for config in (by_run, by_other):
        config.train.output_dir = str(tmp_path / "eval")
        found = evaluate_checkpoint(config)["bbox"]
        assert {name: found[name] for name in final} == pytest.approx(final)
        records = json.loads((tmp_path / "eval/coco_instances_results.json").read_text())
        assert {record["category_id"] for record in records} <= {7, 8}


def test_a_run_is_resumed_with_its_classes_in_their_order(run, data, tmp_path):
    other = exchanged(data, tmp_path / "other", ("dog", "cat"))
    config = config_for(other, other, run, "train.max_iter=3")
    train(config, resume=True)
    assert [c.name for c in config.train.categories] == ["cat", "dog"]
    assert [c.id for c in config.train.categories] == [8, 7]
    assert categories_of_file(str(run / "model_final.pth"))[0] == ("cat", "dog")


def test_a_run_is_not_resumed_with_other_categories(run, tmp_path):
    other = write_dataset(tmp_path / "cows", classes=("cat", "cow"))
    before = (run / "config.yaml").read_text()
    with pytest.raises(ValueError, match="trained on other categories .*'cow' is in one only"):
        train(config_for(other, other, run, "train.max_iter=3"), resume=True)
    assert (run / "config.yaml").read_text() == before


def test_weights_of_other_categories_start_with_new_class_layers(run, tmp_path, caplog):
    other = write_dataset(tmp_path / "cows", classes=("cat", "cow"))
    file = str(run / "model_final.pth")
    config = config_for(other, other, tmp_path / "new")
    assert adopt_categories(config, file)
    assert "'cow' is in one only): the layers of the classes start anew" in caplog.text
    model = instantiate(config.model)
    layers = class_layers(config, model)
    assert sorted(layers) == [
        f"roi_heads.box_predictor.{layer}.{kind}"
        for layer in ("bbox_pred", "cls_score")
        for kind in ("bias", "weight")
    ]
    config.train.init_checkpoint, config.optimizer.lr = file, 0.0
    train(config)
    old = torch.load(file, weights_only=True)["model"]
    new = torch.load(tmp_path / "new/model_final.pth", weights_only=True)["model"]
    for key, _ in model.named_parameters():
        assert torch.equal(new[key], old[key]) == (key not in layers), key


def test_weights_that_say_nothing_of_their_classes_change_nothing(data, tmp_path):
    config = config_for(data, data, tmp_path / "run")
    (tmp_path / "run").mkdir()
    Checkpointer(instantiate(config.model), str(tmp_path / "run")).save("plain")
    assert categories_of_file(str(tmp_path / "run/plain.pth")) == ((), ())
    assert not adopt_categories(config, str(tmp_path / "run/plain.pth"))
    assert not adopt_categories(config, str(tmp_path / "absent.pth"))


def test_a_predictor_calls_the_classes_as_the_weights_do(run):
    file = tiny_config_file(CONFIG)
    overrides = ["model.roi_heads.num_classes=2"]
    _, categories = load_predictor(
        file, str(run / "model_final.pth"), overrides=overrides, device="cpu"
    )
    assert (categories.names, categories.ids) == (("cat", "dog"), (1, 2))
