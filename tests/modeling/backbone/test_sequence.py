"""What backbones of parts in a row take and refuse alike."""

from __future__ import annotations

import pytest
from omegaconf import OmegaConf

from cascade_rpn_d2.modeling import VGG16, ZF

WIDTHS = (2, 3, 4, 5, 6)


@pytest.mark.parametrize("cls", [VGG16, ZF])
def test_lists_of_a_lazy_config_are_taken(cls):
    lists = OmegaConf.create({"widths": list(WIDTHS), "out_features": ["conv5"]})
    backbone = cls(**{key: lists[key] for key in lists})
    assert backbone.output_shape()["conv5"].channels == 6


@pytest.mark.parametrize("cls", [VGG16, ZF])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"out_features": ["res5"]}, r"some of \['conv1', .*not \['res5'\]"),
        ({"out_features": []}, r"some of .*not \[\]"),
        ({"widths": (8, 8)}, r"one for each of .*not \[8, 8\]"),
        ({"freeze_at": 6}, "0 to 5, not 6"),
    ],
)
def test_bad_options(cls, options, message):
    with pytest.raises(ValueError, match=message):
        cls(**options)


@pytest.mark.parametrize("cls", [VGG16, ZF])
@pytest.mark.parametrize("last", [1, 3, 5])
def test_images_are_padded_to_the_stride_of_the_last_part_that_is_read(cls, last):
    backbone = cls(widths=WIDTHS, out_features=[f"conv{last}", "conv1"])
    strides = {name: shape.stride for name, shape in backbone.output_shape().items()}
    assert list(strides) == list(dict.fromkeys(["conv1", f"conv{last}"]))
    assert backbone.size_divisibility == max(strides.values())
