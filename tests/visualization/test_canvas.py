"""Strokes are where they should be, to a fraction of a pixel."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from detectron2.structures import Boxes
from hypothesis import given
from hypothesis import strategies as st

from cascade_rpn_d2.visualization import canvas, save_image

WHITE = (255, 255, 255)


def black(height=40, width=60):
    return np.zeros((height, width, 3), np.uint8)


def test_a_thin_box_is_exactly_the_pixels_that_hold_its_edges():
    image = black()
    canvas.draw_boxes(image, [[10.2, 5.9, 30.6, 25.0]], (10, 20, 30))
    expected = np.zeros((40, 60), bool)
    expected[5, 10:31] = expected[25, 10:31] = True
    expected[5:26, 10] = expected[5:26, 30] = True
    np.testing.assert_array_equal(image.any(axis=2), expected)
    assert image[5, 10].tolist() == [10, 20, 30]


def test_lines_grow_with_the_image():
    assert [canvas.line_scale(side) for side in (1, 640, 1120, 1500, 1501, 2500, 4000, 6000)] == [
        *(1, 1, 1, 1, 2, 2, 4, 6)
    ]
    assert canvas.line_scale(black(4000, 3000)) == 4
    small, large = black(400, 300), black(4000, 3000)
    for factor, image in ((1, small), (10, large)):
        canvas.draw_boxes(image, [[50 * factor, 60 * factor, 250 * factor, 300 * factor]], WHITE)
        canvas.draw_ring(image, (150 * factor, 350 * factor), 8, WHITE)
    assert small[150, :, 0].astype(bool).sum() == 2
    assert large[1500, :, 0].astype(float).sum() / 255 == pytest.approx(2 * 4)
    ring = large[3500, 1400:1600, 0].astype(float)
    assert 50 < np.flatnonzero(ring).max() - np.flatnonzero(ring).min() < 80  # a radius of 32


def test_the_images_of_a_larger_figure_have_the_lines_of_the_figure():
    @canvas.figure
    def draw(*, width: int = 1120):
        inner = black(width // 10, width // 10)
        canvas.draw_boxes(inner, [[0, 0, 1, 1]], WHITE)
        return np.full((1, canvas.line_scale(inner), 3), 0, np.uint8)

    assert draw().shape[1] == 1 and draw(width=4000).shape[1] == 4
    with pytest.raises(ZeroDivisionError):
        canvas.figure(lambda *, width: 1 // 0)(width=9000)
    assert canvas.line_scale(100) == 1


@given(st.floats(10, 20), st.floats(30, 50))
def test_a_thick_line_is_centred_on_its_edge(left, right):
    image = black()
    canvas.draw_boxes(image, [[left, 5, right, 35]], WHITE, 2)
    row = image[20, :, 0].astype(float)
    centers = np.arange(60) + 0.5
    for edge, part in ((left, centers < 25), (right, centers >= 25)):
        assert abs((row[part] * centers[part]).sum() / row[part].sum() - edge) < 0.02


def test_edges_on_the_border_of_the_image_can_be_seen():
    image = black()
    canvas.draw_boxes(image, [[0, 0, 60, 40]], WHITE)
    assert image[0].all() and image[-1].all() and image[:, 0].all() and image[:, -1].all()
    assert not image[1:-1, 1:-1].any()


def test_dashes_lie_on_the_edges_with_gaps_as_long_as_they_are():
    image = black()
    canvas.draw_dashed_boxes(image, [[10.2, 5.9, 50.6, 35.0]], (10, 20, 30), dash=4)
    drawn, whole = image.any(axis=2), black()
    canvas.draw_boxes(whole, [[10.2, 5.9, 50.6, 35.0]], WHITE)
    assert not (drawn & ~whole.any(axis=2)).any()
    assert drawn[5, 10:51].sum() == pytest.approx(41 / 2, abs=3)
    assert drawn[5, 10:14].all() and not drawn[5, 14:18].any() and drawn[5, 18:22].all()
    assert image[5, 10].tolist() == [10, 20, 30]
    canvas.draw_dashed_boxes(image, [[-1e30, -5, 1e30, 5]], WHITE, 2)  # soon done


def test_opacity_mixes_line_and_image():
    image = black() + 100
    canvas.draw_boxes(image, [[10, 10, 20, 20]], (200, 200, 200), opacity=0.25)
    assert image[10, 15].tolist() == [125, 125, 125] and image[15, 15].tolist() == [100, 100, 100]


def test_a_box_smaller_than_its_line_is_a_blot():
    image = black()
    canvas.draw_boxes(image, [[20.5, 20.5, 20.5, 20.5]], WHITE, 2)
    assert image[20, 20, 0] == 255 and int(image[:, :, 0].sum()) == pytest.approx(4 * 255, abs=4)


@given(st.lists(st.floats(-1e30, 1e30), min_size=4, max_size=4))
def test_boxes_anywhere_are_drawn_without_an_error(box):
    canvas.draw_boxes(black(), [box], WHITE, 2)


def test_a_dot_is_round_its_point():
    image = black() + 128
    canvas.draw_dot(image, (20.5, 12.25), 4.0, WHITE)
    ys, xs = np.nonzero(image[..., 0] == 255)
    assert abs(xs.mean() + 0.5 - 20.5) < 0.2 and abs(ys.mean() + 0.5 - 12.25) < 0.2
    assert len(xs) == pytest.approx(np.pi * 16, rel=0.25)
    assert image.min() < 60  # its rim


def test_a_ring_leaves_its_middle():
    image = black()
    canvas.draw_ring(image, (20.5, 12.5), 6.0, WHITE)
    ys, xs = np.nonzero(image[..., 0] > 128)
    np.testing.assert_allclose(np.hypot(xs - 20, ys - 12), 6, atol=0.8)
    assert not image[9:16, 17:24].any()


def test_an_arrow_joins_its_points_and_a_point_is_no_arrow():
    image = black()
    canvas.draw_arrow(image, (5, 20), (50, 20), WHITE)
    assert image[19:21, 8:48].any(axis=(0, 2)).all() and not image[:, 53:].any()
    nothing = black()
    canvas.draw_arrow(nothing, (5, 20), (5, 20), WHITE)
    assert not nothing.any()


def test_words_take_the_room_that_is_told():
    image = black(30, 200)
    canvas.draw_text(image, "recall@0.7", (10, 15), 14, WHITE, anchor="lm")
    columns = np.nonzero(image.any(axis=(0, 2)))[0]
    assert 9 <= columns[0] <= 12
    assert columns[-1] - 10 == pytest.approx(canvas.text_width("recall@0.7", 14), abs=2)


@pytest.mark.parametrize(
    "boxes",
    [
        [[1, 2, 3, 4]],
        np.array([[1, 2, 3, 4]], np.float16),
        torch.tensor([[1, 2, 3, 4.0]], requires_grad=True),
        Boxes(torch.tensor([[1, 2, 3, 4]])),
    ],
)
def test_boxes_of_any_kind_are_taken(boxes):
    np.testing.assert_array_equal(canvas.as_boxes(boxes), [[1, 2, 3, 4]])


@pytest.mark.parametrize("boxes", [[], np.zeros((0, 4)), torch.zeros(0, 4), Boxes([])])
def test_no_boxes_are_boxes(boxes):
    assert canvas.as_boxes(boxes).shape == (0, 4)


@pytest.mark.parametrize("boxes", [[1, 2, 3, 4], [[1, 2, 3]], [[0, 0, 1, float("nan")]]])
def test_what_are_no_boxes_is_refused(boxes):
    with pytest.raises(ValueError, match=r"finite and of shape \(n, 4\)"):
        canvas.as_boxes(boxes)


@pytest.mark.parametrize(
    "image", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((4, 0, 3), np.uint8)]
)
def test_what_is_no_image_is_refused(image):
    with pytest.raises(ValueError, match=r"\(H, W, 3\) uint8 array in RGB order"):
        canvas.as_rgb(image)


def test_an_image_is_copied_and_may_be_a_view():
    image = black()
    copy = canvas.as_rgb(image[:, :, ::-1])
    copy += 1
    assert not image.any() and copy.flags.c_contiguous


@pytest.mark.parametrize(("scale", "size"), [(1, (40, 60)), (2.5, (100, 150)), (0.001, (1, 1))])
def test_rescaling(scale, size):
    assert canvas.rescale(black(), scale).shape[:2] == size


def test_fading():
    image = black() + 100
    assert (canvas.fade(image, 0.5, (200, 0, 100))[0, 0] == [150, 50, 100]).all()
    assert (canvas.fade(image, 0.0) == image).all()


def test_a_picture_is_saved_in_the_right_colours(tmp_path):
    image = black()
    image[..., 0] = 250
    save_image(tmp_path / "new" / "a.png", image)
    assert cv2.imread(str(tmp_path / "new/a.png"))[0, 0].tolist() == [0, 0, 250]


def test_a_picture_that_cannot_be_saved_is_named(tmp_path):
    for name in ("a.xyz", "a"):
        with pytest.raises(ValueError, match=f"{name}'"):
            save_image(tmp_path / name, black())
    (tmp_path / "a.png").mkdir()
    with pytest.raises(OSError, match="a.png"):
        save_image(tmp_path / "a.png", black())
