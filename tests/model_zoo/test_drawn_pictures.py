"""Drawn pictures show which way round a location branch is, in the model's order of channels."""

from __future__ import annotations

import pytest
import torch

from cascade_rpn_d2 import model_zoo
from cascade_rpn_d2.data.demo import VAL, scene
from cascade_rpn_d2.model_zoo import drawn_pictures, measure_on_drawn_pictures


@pytest.mark.parametrize("image_format", ["RGB", "BGR"])
def test_pictures_and_boxes_are_as_the_model_takes_them(repository, monkeypatch, image_format):
    seen = []

    def measure(model, samples, source):
        seen.extend(samples)
        return source

    monkeypatch.setattr(drawn_pictures, "measure_locations", measure)
    config = model_zoo.get_config(str(repository / "tests/tiny_configs/tiny_guided_anchor_rpn.py"))
    config.dataloader.test.mapper.image_format = image_format
    assert measure_on_drawn_pictures(config)(None) == "on 16 drawn pictures"
    assert len(seen) == 16
    image, boxes = seen[2]
    picture, objects = scene(VAL, 3)
    blue = 2 if image_format == "RGB" else 0
    assert torch.equal(image[blue], torch.from_numpy(picture[:, :, 0]).float())
    x, y, width, height = objects[0].box
    assert boxes[0].tolist() == [x, y, x + width, y + height]


def test_a_fresh_model_tells_nothing(repository):
    config_file = str(repository / "tests/tiny_configs/tiny_guided_anchor_rpn.py")
    model = model_zoo.get(config_file, device="cpu")
    statistics = measure_on_drawn_pictures(model_zoo.get_config(config_file))(model)
    assert statistics.inside == pytest.approx(0.01, abs=0.003)
    assert statistics.outside == pytest.approx(0.01, abs=0.003)
