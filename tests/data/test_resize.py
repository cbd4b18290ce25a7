"""Images that are far longer than wide keep a pixel."""

from __future__ import annotations

import numpy as np
import pytest
from detectron2.data import transforms as T

from cascade_rpn_d2.data import OpenCVResizeShortestEdge, ResizeShortestEdge
from cascade_rpn_d2.data.resize import never_empty


@pytest.mark.parametrize("shape", [(2, 3000, 3), (3000, 2, 3), (1, 1, 3), (1, 5000, 3)])
@pytest.mark.parametrize(
    "resize",
    [
        ResizeShortestEdge(256, 448),
        OpenCVResizeShortestEdge(256, 448, in_float=True),
        OpenCVResizeShortestEdge(256, 448, in_float=False),
        *never_empty([T.ResizeShortestEdge(256, 448)]),
    ],
)
def test_no_side_becomes_empty(shape, resize):
    image = np.full(shape, 7, np.uint8)
    transform = resize.get_transform(image)
    resized = transform.apply_image(image)
    assert min(resized.shape[:2]) >= 1 and max(resized.shape[:2]) <= 448
    np.testing.assert_allclose(resized, 7)
    boxes = transform.apply_box(np.array([[0.0, 0.0, shape[1], shape[0]]]))
    np.testing.assert_allclose(boxes[0, 2:], resized.shape[1::-1])


@pytest.mark.parametrize("style", ["choice", "range"])
def test_other_images_are_resized_as_detectron2_does(style):
    theirs = T.ResizeShortestEdge((20, 90), 120, style)
    (ours,) = never_empty([theirs])
    assert type(ours) is ResizeShortestEdge
    rng = np.random.default_rng(0)
    for _ in range(20):
        image = rng.integers(0, 256, (*rng.integers(10, 99, 2), 3), dtype=np.uint8)
        np.random.seed(5)
        expected = theirs.get_transform(image).apply_image(image)
        np.random.seed(5)
        np.testing.assert_array_equal(ours.get_transform(image).apply_image(image), expected)


def test_other_augmentations_stay():
    class Own(T.ResizeShortestEdge):
        pass

    steps = [T.RandomFlip(), Own(20), T.NoOpTransform()]
    assert never_empty(steps) == steps
