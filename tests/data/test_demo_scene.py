"""The pictures of the demo dataset are what they promise to be."""

from __future__ import annotations

import numpy as np
import pytest

from cascade_rpn_d2.data.demo_scene import (
    CANVASES,
    CLASSES,
    MIN_SIDE,
    MIN_VISIBLE,
    _may_cover,
    _visible_objects,
    draw_scene,
)


@pytest.fixture(scope="module")
def scenes():
    return [draw_scene(np.random.default_rng([5, i])) for i in range(40)]


def test_pictures_and_boxes_are_valid(scenes):
    for image, objects in scenes:
        height, width = image.shape[:2]
        assert (width, height) in CANVASES and image.dtype == np.uint8
        assert objects
        for shape in objects:
            x, y, w, h = shape.box
            assert 0 <= x and 0 <= y and x + w <= width and y + h <= height
            assert 0 < shape.area <= w * h and 0 <= shape.category < len(CLASSES)


def test_objects_vary_as_in_the_wild(scenes):
    boxes = np.array([shape.box for _, objects in scenes for shape in objects])
    sizes = np.sqrt(boxes[:, 2] * boxes[:, 3])
    aspects = boxes[:, 2] / boxes[:, 3]
    assert sizes.min() < 12 and sizes.max() > 150
    areas = np.array([shape.area for _, objects in scenes for shape in objects])
    for low, high in ((0, 32), (32, 96), (96, 300)):
        share = np.mean((areas >= low**2) & (areas < high**2))
        assert share > 0.03, f"hardly any object between {low} and {high} pixels"
    assert np.mean(aspects > 2) > 0.08 and np.mean(aspects < 0.5) > 0.08
    categories = [shape.category for _, objects in scenes for shape in objects]
    assert np.bincount(categories).min() > 0.2 * len(categories)


def test_pictures_have_texture(scenes):
    for image, _ in scenes:
        assert 8 < image.std() and 20 < image.mean() < 235


def test_a_scene_is_a_function_of_its_generator():
    one, other = (draw_scene(np.random.default_rng(3)) for _ in range(2))
    assert np.array_equal(one[0], other[0]) and one[1] == other[1]
    assert not np.array_equal(one[0], draw_scene(np.random.default_rng(4))[0])


def test_nothing_is_hidden_beyond_the_limit():
    owner = np.zeros((20, 20), np.int32)
    owner[5:15, 5:15] = 1  # an object of 100 pixels, all visible
    cover = np.zeros((20, 20), bool)
    cover[5:10, 5:15] = True  # hides half of it
    assert MIN_VISIBLE <= 0.5
    assert _may_cover(cover, owner, [0, 100])
    cover[10, 5:15] = True  # 60 of 100 hidden
    assert not _may_cover(cover, owner, [0, 100])
    # part of it was hidden before: what counts is its full size
    assert not _may_cover(cover[::-1] & (owner == 1), owner, [0, 150])


def test_slivers_are_not_drawn():
    owner = np.zeros((20, 20), np.int32)
    cover = np.zeros((20, 20), bool)
    cover[5 : 5 + MIN_SIDE - 1, 5:15] = True
    assert not _may_cover(cover, owner, [0])
    cover[:] = False
    cover[4:12, 0:3] = True  # the rest of an object that the frame cuts off
    assert not _may_cover(cover, owner, [0])
    assert not _may_cover(np.zeros_like(cover), owner, [0])


def test_boxes_are_tight_around_the_visible_pixels():
    owner = np.zeros((12, 16), np.int32)
    owner[2:9, 3:12] = 1
    owner[0:9, 8:14] = 2  # hides the right part
    first, second = _visible_objects(owner, [2, 0])
    assert (first.category, first.box, first.area) == (2, (3, 2, 5, 7), 35)
    assert (second.category, second.box, second.area) == (0, (8, 0, 6, 9), 54)
