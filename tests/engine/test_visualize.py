"""From arguments to pictures, for every command."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from cascade_rpn_d2.engine.visualize import (
    visualize_recall,
    visualize_sampling,
    visualize_stages,
    visualize_targets,
)
from tests.engine.tiny_models import tiny_config_file, write_weights

NAMES = ("tiny_cascade_rpn", "tiny_rpn", "tiny_iterative_rpn", "tiny_cascade_faster_rcnn")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    return {name: write_weights(name, folder) for name in NAMES}


def several(weights, *names):
    """Arguments of models that are called by their configs."""
    return {
        "config_file": [tiny_config_file(name) for name in names],
        "weights": [weights[name] for name in names],
        "model": [],
        "overrides": [],
        "device": "cpu",
    }


def one(weights, name):
    return {
        "config_file": tiny_config_file(name),
        "weights": weights[name],
        "overrides": [],
        "device": "cpu",
    }


def drawn(path):
    image = cv2.imread(str(path))
    assert image is not None and image.std() > 10
    return image


def test_stages_of_a_dataset_and_of_files(weights, tiny_data, tmp_path):
    output = str(tmp_path / "a" / "stages.png")
    models = several(weights, "tiny_cascade_rpn", "tiny_rpn")
    said = visualize_stages(**models, output=output, data=tiny_data, num_images=2, width=700)
    assert said.startswith("2 of 5 images")
    assert drawn(output).shape[1] == 700
    detector = several(weights, "tiny_cascade_faster_rcnn")
    said = visualize_stages(**detector, output=output, input=[tiny_data.split(":")[0]])
    assert said.startswith("4 of 5 images")
    drawn(output)
    by_id = visualize_stages(**models, output=output, data=tiny_data, image_ids=["3"])
    assert by_id.startswith("1 of 5 images")
    with pytest.raises(ValueError, match="Image ids belong to a dataset"):
        visualize_stages(**models, output=output, input=[tiny_data.split(":")[0]], image_ids=["3"])


def test_sampling_points_with_and_without_learned_ones(weights, tiny_data, tmp_path):
    output = str(tmp_path / "sampling.png")
    arguments = {**one(weights, "tiny_cascade_rpn"), "output": output, "data": tiny_data}
    said = visualize_sampling(**arguments, cell=["p3,3,5", "p3,2,2"])
    assert said.startswith("cells p3,3,5 p3,2,2 of ") and "no panel of a deformable" in said
    three = drawn(output)
    deformable = (tiny_config_file("tiny_iterative_rpn"), weights["tiny_iterative_rpn"])
    said = visualize_sampling(**arguments, deformable=deformable)
    assert said.startswith("cell p") and "no panel" not in said
    # Four panels are smaller than three in the same width.
    assert drawn(output).shape[0] < three.shape[0]
    file = tiny_data.split(":")[0] + "/2.png"
    said = visualize_sampling(**{**arguments, "data": None}, input=[file])
    assert file in said
    detector = {**arguments, **one(weights, "tiny_cascade_faster_rcnn")}
    visualize_sampling(**detector, image_id="4")
    with pytest.raises(ValueError, match="RPN has no stages"):
        visualize_sampling(**{**arguments, **one(weights, "tiny_rpn")})
    with pytest.raises(ValueError, match="outside the map"):
        visualize_sampling(**arguments, cell=["p3,300,5"])


def test_targets_are_told_and_drawn(weights, tiny_data, tmp_path):
    output = str(tmp_path / "targets.png")
    said = visualize_targets(**one(weights, "tiny_rpn"), output=output, data=tiny_data)
    assert "on 5 images" in said and "| RPN " in said
    drawn(output)
    arguments = {**one(weights, "tiny_cascade_rpn"), "weights": None}
    said = visualize_targets(
        **arguments, output=output, data=tiny_data, first_stage=True, max_images=2
    )
    assert "on 2 images" in said and "stage 1" in said and "stage 2" not in said


def test_recall_is_told_drawn_and_written(weights, tiny_data, tmp_path):
    output = str(tmp_path / "recall.png")
    models = several(weights, "tiny_rpn", "tiny_cascade_faster_rcnn")
    said = visualize_recall(**models, output=output, data=tiny_data, at=7, numbers=[3, 50])
    assert drawn(output).shape == (420, 1000, 3)
    assert "tiny_cascade_faster_rcnn" in said and str(tmp_path / "recall.json") in said
    content = json.loads((tmp_path / "recall.json").read_text())
    assert list(content["models"]) == ["tiny_rpn", "tiny_cascade_faster_rcnn"]
    entry = content["models"]["tiny_rpn"]
    assert entry["weights"] == weights["tiny_rpn"]
    assert list(entry["AR"]) == ["3", "7", "50"]
    assert np.diff(list(entry["AR"].values())).min() >= 0  # more proposals find no fewer objects


def test_a_picture_that_cannot_be_written_is_found_out_first(weights, tmp_path):
    with pytest.raises(ValueError, match=r"name it \*\.png"):
        visualize_recall(**several(weights, "tiny_rpn"), output="recall", data="a:b")
