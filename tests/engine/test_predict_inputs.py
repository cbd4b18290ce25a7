"""What is predicted, and under which ids."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from cascade_rpn_d2.engine.predict_inputs import find_inputs
from tests.engine.tiny_data import write_dataset


def image(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.zeros((4, 6, 3), np.uint8))
    return path


def test_names_are_relative_to_the_folder_that_was_given(tmp_path):
    a, b = image(tmp_path / "x/sub/a.png"), image(tmp_path / "x/b.png")
    folder = find_inputs([tmp_path / "x"])
    assert folder.root == tmp_path / "x" and folder.image_ids is None
    assert [folder.name_of(s) for s in folder.sources] == ["b.png", "sub/a.png"]
    files = find_inputs([a, b])
    assert [files.name_of(s) for s in files.sources] == ["sub/a.png", "b.png"]
    assert find_inputs([a]).root == tmp_path / "x/sub"
    other = find_inputs([tmp_path / "x/sub", image(tmp_path / "y/a.png")])
    assert [other.name_of(s) for s in other.sources] == ["x/sub/a.png", "y/a.png"]


def test_an_annotation_file_gives_ids_of_images_and_categories(tmp_path):
    spec = write_dataset(tmp_path / "data", images=3, classes=("cat", "dog"))
    file = Path(spec.rpartition(":")[2])
    content = json.loads(file.read_text())
    for record in content["images"]:
        record["id"] = 30 - record["id"]
    content["categories"][1]["id"] = 17
    file.write_text(json.dumps({**content, "annotations": []}))
    inputs = find_inputs([spec])
    names = [inputs.name_of(source) for source in inputs.sources]
    assert names == ["2.png", "1.png", "0.png"]
    assert [inputs.image_ids[source.path] for source in inputs.sources] == [[28], [29], [30]]
    assert (inputs.categories.names, inputs.categories.ids) == (("cat", "dog"), (1, 17))


def test_a_file_may_have_several_ids_and_is_read_once(tmp_path):
    spec = write_dataset(tmp_path / "data", images=3)
    file = Path(spec.rpartition(":")[2])
    content = json.loads(file.read_text())
    content["images"][2]["file_name"] = content["images"][0]["file_name"]
    file.write_text(json.dumps(content))
    inputs = find_inputs([spec])
    assert [inputs.image_ids[source.path] for source in inputs.sources] == [[0, 2], [1]]


def test_images_with_and_without_ids_do_not_go_together(tmp_path):
    spec = write_dataset(tmp_path / "data", images=1)
    with pytest.raises(ValueError, match="gives the images their ids.*: give it alone"):
        find_inputs([spec, str(image(tmp_path / "a.png"))])
