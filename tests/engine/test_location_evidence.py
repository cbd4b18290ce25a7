"""What a location branch says of a dataset is measured on images as the model is fed them."""

from __future__ import annotations

import json

import pytest
import torch

from cascade_rpn_d2 import model_zoo
from cascade_rpn_d2.engine import location_evidence
from cascade_rpn_d2.engine.location_evidence import measure_on_dataset
from tests.engine.tiny_data import write_dataset


@pytest.fixture
def config(repository):
    return model_zoo.get_config(str(repository / "tests/tiny_configs/tiny_guided_anchor_rpn.py"))


def test_images_and_objects_are_scaled_as_for_the_model(config, tmp_path, monkeypatch):
    seen = []

    def measure(model, samples, source):
        seen.extend(samples)
        return source

    monkeypatch.setattr(location_evidence, "measure_locations", measure)
    dataset = write_dataset(tmp_path / "data")  # pictures of 64 x 64, which the config scales to 96
    model = model_zoo.instantiate_model(config)
    source = measure_on_dataset(config, dataset, count=2)(model)
    assert source.startswith("on 2 images of ") and len(seen) == 2
    image, boxes = seen[0]
    assert image.shape == (3, 96, 96)
    annotations = json.loads((tmp_path / "data/annotations.json").read_text())["annotations"]
    x, y, width, height = annotations[0]["bbox"]
    expected = torch.tensor([x, y, x + width, y + height]) * 1.5
    torch.testing.assert_close(boxes[0], expected)


def test_a_branch_is_measured(config, tmp_path):
    model = model_zoo.instantiate_model(config)
    statistics = measure_on_dataset(config, write_dataset(tmp_path / "data"))(model)
    assert statistics.inside == pytest.approx(0.01, abs=0.005)
    assert "on 5 images of" in statistics.source


def test_a_dataset_without_objects_is_refused(config, tmp_path):
    dataset = write_dataset(tmp_path / "data")
    file = tmp_path / "data/annotations.json"
    content = json.loads(file.read_text())
    file.write_text(json.dumps({**content, "annotations": []}))
    with pytest.raises(ValueError, match="There are no objects in .*: give a dataset"):
        measure_on_dataset(config, dataset)
