"""What a test mapper says about the input of a model."""

from __future__ import annotations

import sys

import detectron2.data.transforms as T
import numpy as np
import pytest
from detectron2.config import LazyCall as L
from detectron2.config import LazyConfig
from omegaconf import OmegaConf

from cascade_rpn_d2.data import OpenCVResizeShortestEdge
from cascade_rpn_d2.model_zoo import InputFormat


def config(augmentations, image_format="BGR", names="photos_val"):
    mapper = {"augmentations": augmentations, "image_format": image_format}
    test = {"mapper": mapper, "dataset": {"names": names}}
    return OmegaConf.create(
        {"dataloader": {"test": test}, "format": "RGB"}, flags={"allow_objects": True}
    )


@pytest.mark.parametrize("edge", [800, [800], [800, 800]])
def test_a_resize_is_read(edge):
    resize = L(T.ResizeShortestEdge)(short_edge_length=edge, max_size=1333)
    found = InputFormat.from_config(config([resize]))
    assert found == InputFormat("BGR", 800, 1333, ("photos_val",))
    transform = found.resize().get_transform(np.zeros((300, 400, 3), np.uint8))
    assert (transform.new_h, transform.new_w) == (800, 1067)


@pytest.mark.parametrize("in_float", [True, False])
def test_how_a_resize_is_done_is_read(in_float):
    resize = L(OpenCVResizeShortestEdge)(short_edge_length=80, max_size=133, in_float=in_float)
    found = InputFormat.from_config(config([resize]))
    assert (found.min_size, found.max_size) == (80, 133)
    image = np.random.RandomState(0).randint(0, 256, (30, 40, 3), dtype=np.uint8)
    own = found.resize().get_transform(image).apply_image(image)
    expected = OpenCVResizeShortestEdge(80, 133, in_float=in_float).get_transform(image)
    assert np.array_equal(own, expected.apply_image(image))
    assert own.dtype == (np.float32 if in_float else np.uint8)


def test_no_augmentation_means_no_resize():
    found = InputFormat.from_config(config([], names=["a", "b"]))
    assert found == InputFormat("BGR", 0, sys.maxsize, ("a", "b")) and found.resize() is None


def test_interpolations_are_followed():
    assert InputFormat.from_config(config([], "${format}")).image_format == "RGB"


def test_a_config_saved_as_yaml_says_the_same(tmp_path):
    resize = L(T.ResizeShortestEdge)(short_edge_length=80, max_size=133)
    LazyConfig.save(config([resize]), str(tmp_path / "c.yaml"))
    loaded = LazyConfig.load(str(tmp_path / "c.yaml"))
    assert InputFormat.from_config(loaded) == InputFormat("BGR", 80, 133, ("photos_val",))


@pytest.mark.parametrize(
    ("augmentations", "message"),
    [
        ([L(T.RandomFlip)()], "RandomFlip"),
        ([L(T.ResizeShortestEdge)(short_edge_length=8), L(T.RandomFlip)()], "not 2"),
        ([L(T.ResizeShortestEdge)(short_edge_length=[640, 800])], "640"),
    ],
)
def test_what_a_predictor_cannot_follow_is_refused(augmentations, message):
    with pytest.raises(ValueError, match=message):
        InputFormat.from_config(config(augmentations))


@pytest.mark.parametrize("bad", [config([], "L"), OmegaConf.create({"model": {}})])
def test_a_config_without_image_format_is_refused(bad):
    with pytest.raises(ValueError, match="'RGB' or 'BGR'"):
        InputFormat.from_config(bad)
