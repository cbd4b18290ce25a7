"""Which detection is drawn, and what is told of it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cascade_rpn_d2.engine import grid_pictures
from cascade_rpn_d2.engine.grid_pictures import (
    GivenImage,
    choose_detection,
    draw_grid,
    draw_refinement,
)
from tests.engine.grid_scenes import SIZE, made_up, record_of

PIXELS = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
LEFT, RIGHT = (10.0, 10, 40, 40), (60.0, 10, 90, 40)
NOWHERE = (40.0, 45, 60, 58)
# The best detection is of nothing; the second one stays, the third moves to its object.
BEFORE = [NOWHERE, LEFT, (70.0, 10, 100, 40)]
AFTER = [NOWHERE, LEFT, RIGHT]
RECORD = record_of(LEFT, RIGHT)


@pytest.fixture
def traced(monkeypatch):
    """Detections of every image, in the order in which they are asked for."""
    traces = []
    monkeypatch.setattr(grid_pictures, "trace_grid", lambda predictor, image: traces.pop(0))
    return traces


@pytest.fixture
def drawn(monkeypatch):
    """What is given to the drawing."""
    found = []

    def draw(images, what, width):
        found.append((images, what))
        return np.zeros((8, width, 3), np.uint8)

    monkeypatch.setattr(grid_pictures, "draw_heat_maps", draw)
    monkeypatch.setattr(grid_pictures, "draw_box_paths", draw)
    return found


def test_the_best_of_an_object_or_the_one_that_moved():
    trace = made_up([BEFORE, AFTER])
    assert choose_detection(trace, None) == 0
    assert choose_detection(trace, RECORD) == 1
    assert choose_detection(trace, RECORD, "moved") == 2
    # None is of an object of that class: the best.
    other = record_of(LEFT, RIGHT, classes=[1, 1])
    assert choose_detection(trace, other) == choose_detection(trace, other, "moved") == 0
    assert choose_detection(trace, record_of()) == 0
    for record in (None, RECORD):
        assert choose_detection(made_up(torch.zeros(2, 0, 4).tolist()), record) is None
    with pytest.raises(ValueError, match="only where objects are"):
        choose_detection(trace, None, "moved")


def test_the_heat_maps_of_a_stage(traced, drawn):
    trace = made_up([BEFORE, AFTER, AFTER])
    image = GivenImage("a.png", PIXELS, RECORD)
    traced += [trace, trace]
    draw_grid(None, image, stage=2, width=300)
    draw_grid(None, image, detection=3, width=300)
    ((images, (chosen,)), (_, (third,))) = drawn
    np.testing.assert_array_equal(images[0], PIXELS[:, :, ::-1])
    assert torch.equal(chosen.logits, trace.logits[1][1]) and chosen.mapping_ratio == 1.5
    assert chosen.box.tolist() == chosen.target.tolist() == list(LEFT)
    assert torch.equal(third.logits, trace.logits[0][2]) and third.mapping_ratio == 2
    assert tuple(third.box.tolist()) == BEFORE[2] and tuple(third.target.tolist()) == RIGHT


def test_a_path_per_image_with_a_detection(traced, drawn):
    traced += [made_up([BEFORE, AFTER]), made_up([[], []]), made_up([BEFORE, AFTER])]
    images = [GivenImage(name, PIXELS, record) for name, record in
              (("a", RECORD), ("b", RECORD), ("c", None))]  # fmt: skip
    picture, count = draw_refinement(None, images, width=300)
    assert count == 2 and picture.shape[1] == 300
    ((_, (known, unknown)),) = drawn
    assert known.boxes.tolist() == [list(LEFT), list(LEFT)] and known.mapping_ratios == [2.0]
    assert tuple(known.target.tolist()) == LEFT
    assert tuple(unknown.boxes[0].tolist()) == NOWHERE and unknown.target is None


def test_what_cannot_be_drawn_says_so(traced):
    image, empty = GivenImage("a.png", PIXELS, RECORD), made_up([[], []])
    traced += [made_up([BEFORE, AFTER])] * 2 + [empty] * 2
    with pytest.raises(ValueError, match="stages 1 to 1, not 2"):
        draw_grid(None, image, stage=2)
    with pytest.raises(ValueError, match="3 detections in a.png, so none has the number 4"):
        draw_grid(None, image, detection=4)
    with pytest.raises(ValueError, match="detects nothing in a.png: give trained weights"):
        draw_grid(None, image)
    with pytest.raises(ValueError, match="detects nothing in a.png"):
        draw_refinement(None, [image])
