"""Detections are drawn where they are, a class always in its own colour."""

from __future__ import annotations

import numpy as np
import torch
from detectron2.structures import Boxes, Instances

from cascade_rpn_d2.visualization import draw_detections


def instances(boxes, classes, masks=None):
    found = Instances((200, 300))
    found.pred_boxes = Boxes(torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4))
    found.pred_classes = torch.tensor(classes, dtype=torch.int64)
    found.scores = torch.full((len(classes),), 0.75)
    if masks is not None:
        found.pred_masks = masks
    return found


def image():
    return np.full((200, 300, 3), 128, np.uint8)


def edge_color(picture, x, y):
    patch = picture[y - 2 : y + 3, x - 2 : x + 3].reshape(-1, 3).astype(int)
    return patch[np.abs(patch - 128).sum(axis=1).argmax()]


def test_boxes_are_drawn_on_their_edges_only():
    picture = draw_detections(image(), instances([[50, 60, 150, 160]], [0]), ["cat"])
    assert picture.shape == (200, 300, 3) and picture.dtype == np.uint8
    for x, y in ((50, 140), (150, 110), (100, 160)):
        assert np.abs(edge_color(picture, x, y) - 128).max() > 20
    assert (picture[120:150, 60:140] == 128).all() and (picture[:, 200:] == 128).all()


def test_a_class_has_one_colour_whatever_else_is_seen():
    alone = draw_detections(image(), instances([[50, 60, 150, 160]], [1]))
    both = draw_detections(image(), instances([[200, 20, 280, 190], [50, 60, 150, 160]], [0, 1]))
    at = (100, 160)
    np.testing.assert_allclose(edge_color(alone, *at), edge_color(both, *at), atol=12)
    other = draw_detections(image(), instances([[50, 60, 150, 160]], [2]))
    assert np.abs(edge_color(alone, *at) - edge_color(other, *at)).max() > 30


def test_masks_are_filled():
    masks = torch.zeros(1, 200, 300, dtype=torch.bool)
    masks[0, 100:150, 70:130] = True
    picture = draw_detections(image(), instances([[50, 60, 150, 160]], [0], masks))
    assert (picture[110:140, 80:120] != 128).any(axis=2).all()


def test_no_detections_no_change():
    given = image()
    assert np.abs(draw_detections(given, instances([], [])).astype(int) - 128).max() <= 1
    assert (given == 128).all()
