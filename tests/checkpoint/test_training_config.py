"""What the text of a training config says of the model's input."""

from __future__ import annotations

import pytest

from cascade_rpn_d2.checkpoint.training_config import StatedInput, input_differences
from cascade_rpn_d2.model_zoo import instantiate_model
from tests.checkpoint.models import config_of

# As mmdet 1.x and 2.x store it, and as 3.x does.
OLD = """
model = dict(pretrained='somewhere', backbone=dict(type='ResNet', style='caffe'),
    rpn_head=dict(target_means=[.0, .0, .0, .0], target_stds=[1.0, 1.0, 1.0, 1.0]))
img_norm_cfg = dict(
    mean=[102.9801, 115.9465, 122.7717], std=[1.0, 1.0, 1.0], to_rgb=False)
test_pipeline = [dict(mean=[102.9801, 115.9465, 122.7717])]
"""
NEW = """
    data_preprocessor=dict(
        mean=[
            123.675,
            116.28,
            103.53,
        ],
        std=[
            58.395,
            57.12,
            57.375,
        ]),
    backbone=dict(style='pytorch'), init_cfg=dict(std=0.01, type='Normal')
"""


def test_texts_of_all_ages_are_read():
    caffe = StatedInput((102.9801, 115.9465, 122.7717), (1.0, 1.0, 1.0), "caffe")
    assert StatedInput.from_text(OLD) == caffe
    pytorch = StatedInput((123.675, 116.28, 103.53), (58.395, 57.12, 57.375), "pytorch")
    assert StatedInput.from_text(NEW) == pytorch
    assert StatedInput.from_text("") == StatedInput()


def test_of_the_texts_of_a_base_and_a_config_the_last_holds():
    old = StatedInput.from_text(OLD)
    # Strides are an error and not a note, so they are said only where nothing contradicts them.
    assert StatedInput.from_text(NEW + OLD) == StatedInput(old.pixel_mean, old.pixel_std, None)


@pytest.fixture(scope="module")
def model():
    return instantiate_model(config_of("rpn"))


def test_another_mean_is_noted_and_other_strides_are_refused(model):
    (note,) = input_differences(StatedInput.from_text(OLD), model)
    assert "pixel_mean 102.98 115.947 122.772; the config has 103.53 116.28 123.675" in note
    own = StatedInput((103.53, 116.28, 123.675), (1.0, 1.0, 1.0), "caffe")
    assert input_differences(own, model) == input_differences(StatedInput(), model) == []
    with pytest.raises(ValueError, match="style 'pytorch': set stride_in_1x1=False"):
        input_differences(StatedInput.from_text(NEW), model)
