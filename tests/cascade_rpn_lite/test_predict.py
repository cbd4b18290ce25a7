"""`cascade-rpn predict`, run as a user runs it."""

from __future__ import annotations

import json
import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch
from detectron2.data import MetadataCatalog

from cascade_rpn_d2 import model_zoo
from cascade_rpn_lite.cli import main
from tests.engine.tiny_data import write_dataset

CLASSES = tuple(MetadataCatalog.get("coco_2017_val").thing_classes)


@pytest.fixture(scope="module")
def config_file(repository):
    return str(repository / "tests/tiny_configs/tiny_rpn.py")


@pytest.fixture(scope="module")
def weights(config_file, tmp_path_factory):
    file = tmp_path_factory.mktemp("weights") / "model.pth"
    torch.save({"model": model_zoo.get(config_file, device="cpu").state_dict()}, file)
    return str(file)


@pytest.fixture
def photos(tmp_path):
    """Two images, one of them in a folder below, and a file that is none."""
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name in ("a.png", "more/a.png"):
        cv2.imwrite(str(folder / name), rng.integers(0, 256, (50, 70, 3)))
    (folder / "broken.jpg").write_bytes(b"\xff\xd8 no image")
    return folder


def arguments(config_file, weights, tmp_path, *more):
    base = ["predict", "--config-file", config_file, "--weights", weights, "--device", "cpu"]
    return [*base, "--output", str(tmp_path / "out"), *map(str, more)]


def test_a_folder_with_a_broken_file(config_file, weights, photos, tmp_path, capsys):
    more = ("--input", photos, "--json", tmp_path / "boxes.json", "--top-k", "5")
    assert main(arguments(config_file, weights, tmp_path, *more)) == 0
    captured = capsys.readouterr()
    assert "--score-threshold" not in captured.out
    assert "10 boxes on 2 images" in captured.out and "1 of 3 inputs could not" in captured.out
    assert "broken.jpg" in captured.err
    assert (tmp_path / "out/a.png").is_file() and (tmp_path / "out/more/a.png").is_file()
    records = json.loads((tmp_path / "boxes.json").read_text())
    assert len(records) == 10 and {r["category_id"] for r in records} == {1}
    for record in records:
        x, y, width, height = record["bbox"]
        assert 0 <= x <= x + width <= 70.01 and 0 <= y <= y + height <= 50.01


def test_a_detector_draws_classes(repository, photos, tmp_path):
    config_file = str(repository / "tests/tiny_configs/tiny_faster_rcnn.py")
    torch.save(model_zoo.get(config_file, device="cpu").state_dict(), weights := tmp_path / "w.pth")
    more = ("--input", photos / "a.png", "--json", tmp_path / "b.json", "--score-threshold", "0")
    assert main(arguments(config_file, str(weights), tmp_path, *more)) == 0
    records = json.loads((tmp_path / "b.json").read_text())
    assert records and all(1 <= r["category_id"] <= 90 for r in records)


def test_ids_are_those_of_an_annotation_file_and_a_dataset_is_data_again(
    repository, tmp_path, capsys, refused
):
    """What is predicted is right when it is evaluated as the annotations of the same images."""
    config_file = str(repository / "tests/tiny_configs/tiny_faster_rcnn_run.py")
    model = model_zoo.get(config_file, device="cpu")
    torch.save(model.state_dict(), weights := tmp_path / "w.pth")
    spec = write_dataset(tmp_path / "data", images=3, classes=CLASSES)
    more = ("--score-threshold", "0", "--top-k", "5", "--json", tmp_path / "r.json")
    given = arguments(config_file, str(weights), tmp_path, "--input", spec, *more)
    assert main(given) == 0
    assert {r["image_id"] for r in json.loads((tmp_path / "r.json").read_text())} == {0, 1, 2}
    assert main([*given, "--format", "coco-dataset"]) == 0
    data = f"{tmp_path / 'data/images'}:{tmp_path / 'r.json'}"
    assert data in capsys.readouterr().out
    words = ["--config-file", config_file, "--weights", str(weights), "--test-data", data]
    out = ["--output-dir", str(tmp_path / "eval"), "--num-gpus", "0", "--max-detections", "5"]
    assert main(["eval", *words, *out]) == 0
    results = json.loads((tmp_path / "eval/evaluation.json").read_text())
    assert results["bbox"]["AP"] == pytest.approx(100)
    given = arguments(config_file, str(weights), tmp_path, "--input", spec)
    assert "give --json too" in refused(*given, "--format", "coco-dataset")


def test_overrides_follow_the_options(config_file, weights, photos, tmp_path, capsys):
    pattern = str(photos / "*.png")
    more = ("--input", pattern, "--batch-size", "1", "--top-k", "100")
    override = "model.proposal_generator.post_nms_topk=[3,3]"
    predict, *given = arguments(config_file, weights, tmp_path, *more)
    assert main([predict, override, *given]) == 0
    assert "3 boxes on 1 images" in capsys.readouterr().out


def test_nothing_readable_is_a_failure(config_file, weights, photos, tmp_path):
    more = ("--input", photos / "broken.jpg")
    assert main(arguments(config_file, weights, tmp_path, *more)) == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"--config-file": "demo/cascade_rnp"}, "did you mean"),
        ({"--weights": "absent.pth"}, "no file of weights at 'absent.pth'"),
        ({"--input": "absent"}, "no image or video at 'absent'"),
        ({"--device": "cuda:99"}, "cannot be used here"),
    ],
)
def test_what_is_not_there_is_one_sentence(
    config_file, weights, photos, tmp_path, sentence_of, changes, message
):
    given = arguments(config_file, weights, tmp_path, "--input", photos)
    for option, value in changes.items():
        given[given.index(option) + 1] = value
    assert message in sentence_of(*given)


def test_without_weights_the_message_says_what_to_give(config_file, photos, tmp_path, sentence_of):
    given = arguments(config_file, "", tmp_path, "--input", photos)
    at = given.index("--weights")
    assert "give the file of weights" in sentence_of(*given[:at], *given[at + 2 :])


@pytest.mark.parametrize("value", ["0", "-3", "many"])
def test_a_batch_size_must_be_positive(value, refused):
    given = ["--config-file", "c", "--input", "i", "--output", "o", "--batch-size", value]
    assert "--batch-size" in refused("predict", *given)


def test_it_runs_from_anywhere(repository, config_file, weights, photos, tmp_path):
    command = [sys.executable, str(repository / "tools/predict.py")]
    command += arguments(config_file, weights, tmp_path, "--input", photos / "a.png")[1:]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env={"PYTHONPATH": str(repository), "PATH": "", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "100 boxes on 1 images" in done.stdout and not done.stderr


def test_overrides_may_follow_the_files(config_file, weights, photos, tmp_path, capsys):
    override = "model.proposal_generator.post_nms_topk=[3,3]"
    given = arguments(config_file, weights, tmp_path, "--input", photos / "a.png", override)
    assert main([*given, "--top-k", "2"]) == 0
    assert "2 boxes on 1 images" in capsys.readouterr().out


def test_deep_images_take_a_range(config_file, weights, tmp_path, capsys):
    deep = tmp_path / "deep.png"
    cv2.imwrite(str(deep), np.arange(50 * 70, dtype=np.uint16).reshape(50, 70))
    more = ("--input", deep, "--score-threshold", "1")  # no boxes
    given = arguments(config_file, weights, tmp_path, *more)
    assert main(given) == 1
    assert "deep.png has 16 bits a channel: give" in capsys.readouterr().err
    assert main([*given, "--depth-range", "0", "4095"]) == 0
    said = capsys.readouterr().out
    assert "No box reached the score of 1: give a lower --score-threshold." in said
    drawn = cv2.imread(str(tmp_path / "out/deep.png"))
    assert np.median(drawn[:5]) < 20 and np.median(drawn[-5:]) > 190


def test_an_image_of_any_shape_is_predicted(config_file, weights, tmp_path, capsys):
    cv2.imwrite(str(tmp_path / "line.png"), np.full((1, 4000, 3), 90, np.uint8))
    assert main(arguments(config_file, weights, tmp_path, "--input", tmp_path / "line.png")) == 0
    assert "on 1 images" in capsys.readouterr().out
