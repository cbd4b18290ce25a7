"""From arguments to pictures, for the commands of Guided Anchoring."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from cascade_rpn_d2.engine.visualize_guided import (
    visualize_anchor_shapes,
    visualize_anchors,
    visualize_iou,
)
from tests.engine.tiny_models import tiny_config_file, write_weights

GUIDED, DETECTOR = "tiny_guided_anchor_rpn", "tiny_guided_anchor_retinanet"


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    return {name: write_weights(name, folder) for name in (GUIDED, DETECTOR, "tiny_rpn")}


def one(weights, name=GUIDED):
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


def test_anchors_of_a_dataset_and_of_files(weights, tiny_data, tmp_path):
    output = str(tmp_path / "a" / "anchors.png")
    arguments = {**one(weights), "output": output}
    said = visualize_anchors(**arguments, data=tiny_data, num_images=2, width=700)
    assert said == f"2 of 5 images in {output}."
    two = drawn(output)
    assert two.shape[1] == 700
    said = visualize_anchors(**arguments, data=tiny_data, image_ids=["3"], width=700)
    assert said.startswith("1 of 5 images")
    assert drawn(output).shape[0] < two.shape[0]
    folder = tiny_data.split(":")[0]
    detector = {**arguments, **one(weights, DETECTOR)}
    said = visualize_anchors(**detector, input=[folder])
    assert said.startswith("3 of 5 images")
    drawn(output)
    with pytest.raises(ValueError, match="Image ids belong to a dataset"):
        visualize_anchors(**arguments, input=[folder], image_ids=["3"])
    with pytest.raises(ValueError, match="RPN has no guided anchors"):
        visualize_anchors(**{**arguments, **one(weights, "tiny_rpn")}, data=tiny_data)


def test_shapes_are_told_drawn_and_written(weights, tiny_data, tmp_path):
    output = str(tmp_path / "shapes.png")
    baseline = tiny_config_file("tiny_rpn")
    said = visualize_anchor_shapes(
        **one(weights), output=output, data=tiny_data, max_images=2, baseline=baseline
    )
    assert "on 2 images" in said and "| ground truth" in said and output in said
    drawn(output)
    content = json.loads((tmp_path / "shapes.json").read_text())
    assert content["sliding_window"] == baseline
    assert content["scale"]["ground truth"]["count"] == 6

    visualize_anchor_shapes(**one(weights), output=output, data=tiny_data, max_images=2)
    by_default = json.loads((tmp_path / "shapes.json").read_text())
    assert "squares" in by_default["sliding_window"]
    # What an RPN has in the place of the model's squares, and the tiny one does.
    assert by_default["scale"]["sliding window"] == content["scale"]["sliding window"]


def test_overlaps_are_told_drawn_and_written(weights, tiny_data, tmp_path):
    output = str(tmp_path / "iou.png")
    said = visualize_iou(
        config_file=[],
        weights=[],
        model=[
            [title, tiny_config_file(name), weights[name]]
            for title, name in (("RPN", "tiny_rpn"), ("GA-RPN", GUIDED))
        ],
        overrides=[],
        output=output,
        device="cpu",
        data=tiny_data,
        top_k=50,
    )
    assert "on 5 images" in said and "| GA-RPN" in said
    assert drawn(output).shape == (440, 640, 3)
    content = json.loads((tmp_path / "iou.json").read_text())
    assert list(content["models"]) == ["RPN", "GA-RPN"] and content["limit"] == 50
    for entry in content["models"].values():
        assert entry["proposals_per_image"] <= 50
        assert np.diff(entry["above_iou_per_image"]).min() >= 0


def test_a_picture_that_cannot_be_written_is_found_out_first(weights):
    for run in (visualize_anchors, visualize_anchor_shapes):
        with pytest.raises(ValueError, match=r"name it \*\.png"):
            run(**one(weights), output="picture", data="a:b")
