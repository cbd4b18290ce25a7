"""From arguments to pictures, for the commands of Grid R-CNN and CPM R-CNN."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import pytest
import torch

from cascade_rpn_d2.engine.visualize_grid import (
    visualize_grid,
    visualize_refinement,
    visualize_score_ious,
    visualize_scores,
)
from tests.engine.tiny_models import tiny_config_file, write_weights

NAME = "tiny_cpm_rcnn"


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    return {name: write_weights(name, folder) for name in (NAME, "tiny_faster_rcnn")}


@pytest.fixture
def arguments(weights, tmp_path):
    return {
        "config_file": tiny_config_file(NAME),
        "weights": weights[NAME],
        "overrides": [],
        "device": "cpu",
        "output": str(tmp_path / "pictures" / "x.png"),
    }


def drawn(arguments):
    image = cv2.imread(arguments["output"])
    assert image is not None and image.std() > 10
    return image


def test_heat_maps_of_a_dataset_and_of_a_file(arguments, tiny_data):
    said = visualize_grid(**arguments, data=tiny_data, image_id="3", stage=2, width=600)
    assert said == f"Heat maps of stage 2 on 3.png in {arguments['output']}."
    assert drawn(arguments).shape[1] == 600
    folder = tiny_data.split(":")[0]
    visualize_grid(**arguments, input=[f"{folder}/1.png"], detection=2, width=600)
    drawn(arguments)
    with pytest.raises(ValueError, match="Image ids belong to a dataset"):
        visualize_grid(**arguments, input=[folder], image_id="3")


def test_boxes_in_stages(arguments, tiny_data):
    said = visualize_refinement(**arguments, data=tiny_data, num_images=2, pick="moved", width=700)
    assert said == f"2 of 5 images in {arguments['output']}."
    two = drawn(arguments)
    assert two.shape[1] == 700
    visualize_refinement(**arguments, data=tiny_data, image_ids=["4"], width=700)
    assert drawn(arguments).shape[0] < two.shape[0]
    said = visualize_refinement(**arguments, input=[tiny_data.split(":")[0]])
    assert said.startswith("3 of 5 images")


def test_scores_are_drawn_and_told(arguments, tiny_data):
    said = visualize_scores(
        **arguments, data=tiny_data, max_images=3, min_iou=0.01, score_threshold=0.0, width=700
    )
    assert "on 3 images" in said and "| whole" in said and said.endswith(arguments["output"])
    assert drawn(arguments).shape[1] == 700


def test_scores_over_ious_are_told_drawn_and_written(arguments, tiny_data):
    said = visualize_score_ious(**arguments, data=tiny_data, min_iou=0.01)
    assert "by 0.01, on 5 images" in said and "| classification" in said
    assert drawn(arguments).shape == (420, 1000, 3)
    content = json.loads(Path(arguments["output"]).with_suffix(".json").read_text())
    assert list(content["scores"]) == ["classification", "ISM", "RSM", "fused"]
    assert content["images"] == 5


def test_a_detector_with_one_score_has_one_panel(arguments, tiny_data, tmp_path):
    state = torch.load(arguments["weights"])["model"]
    modules = ("iou_scoring", "resampling_scoring")
    for key in [key for key in state if key.split(".")[1] in modules]:
        del state[key]
    arguments["weights"] = str(tmp_path / "grid.pth")
    torch.save({"model": state}, arguments["weights"])
    arguments["overrides"] = [f"model.roi_heads.{module}=null" for module in modules]
    visualize_score_ious(**arguments, data=tiny_data, min_iou=0.01)
    assert drawn(arguments).shape == (420, 500, 3)


def test_other_models_and_pictures_that_cannot_be_written(arguments, weights, tiny_data):
    other = {
        **arguments,
        "config_file": tiny_config_file("tiny_faster_rcnn"),
        "weights": weights["tiny_faster_rcnn"],
    }
    runs = (visualize_grid, visualize_refinement, visualize_scores, visualize_score_ious)
    for run in runs:
        compares = run in (visualize_scores, visualize_score_ious)  # the classes of both
        why = "'box' is in one only" if compares else "no heat maps of grid points"
        with pytest.raises(ValueError, match=why):
            run(**other, data=tiny_data)
        with pytest.raises(ValueError, match=r"name it \*\.png"):
            run(**{**arguments, "output": "picture"}, data="a:b")
