"""Heat maps lie where their cells are in the image."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cascade_rpn_d2.layers import encode_grid_points
from cascade_rpn_d2.visualization import GridMaps, draw_heat_maps, heat_maps
from cascade_rpn_d2.visualization.panels import cell_size

IMAGE = np.full((120, 160, 3), 90, np.uint8)
BOX = torch.tensor([60.0, 40, 100, 80])
TARGET = torch.tensor([55.0, 44, 97, 90])


def maps(size=3, target=TARGET):
    """Heat maps that point at ``TARGET``, sure of it."""
    peaks = encode_grid_points(BOX[None], TARGET[None], grid_size=size, radius=0)[0]
    return GridMaps(peaks * 16 - 8, BOX, 2.0, target)


def panels_of(monkeypatch, *boxes):
    grids = []

    def grid(rows, headers, legend, width):
        grids.append((rows, headers, [key.words for key in legend]))
        return np.full((4, width, 3), 255, np.uint8)

    monkeypatch.setattr(heat_maps, "panel_grid", grid)
    draw_heat_maps([IMAGE] * len(boxes), boxes, width=1000)
    return grids[0]


def test_a_picture_has_its_size_and_the_image_stays():
    picture = draw_heat_maps([IMAGE], [maps()], width=800)
    assert picture.shape[1] == 800 and picture.dtype == np.uint8 and (IMAGE == 90).all()
    two = draw_heat_maps([IMAGE, IMAGE], [maps(), maps()], width=800)
    assert two.shape[0] > 1.8 * picture.shape[0]


def test_peaks_are_bright_where_the_points_are(monkeypatch):
    rows, headers, _ = panels_of(monkeypatch, maps())
    assert len(rows) == 3 and all(len(row) == 4 for row in rows) and len(headers) == 4
    cell = cell_size(1000, 4)
    everything = rows[1][0].image.astype(int)
    # The region is 80 pixels wide, in a window with 3 % of room on each side.
    assert everything.shape == (cell, cell, 3)
    scale = cell / (80 * 1.06)
    origin = np.array([40.0, 20]) - 0.03 * 80
    brightness = everything.sum(axis=2)
    for x in (55, 76, 97):
        for y in (44, 67, 90):
            column, row = ((np.array([x, y]) - origin) * scale).astype(int)
            near = brightness[row - 4 : row + 5, column - 4 : column + 5]
            assert near.max() > 500
            away = brightness[row - 4 : row + 5, column + 12 : column + 20]
            assert away.max() < 300
    # The map of the first point shows its own peak only, within a ring.
    first = rows[0][1].image.astype(int).sum(axis=2)
    bright = np.argwhere(first > 600)
    column, row = ((np.array([55, 44]) - origin) * scale).astype(int)
    assert (np.abs(bright - (row, column)).max(axis=1) <= 10).any()


def test_captions_tell_what_is_read(monkeypatch):
    rows, headers, legend = panels_of(monkeypatch, maps())
    before, everything, after = (row[0].caption for row in rows)
    # 37 x 36 of both are shared.
    shared = 37 * 36
    assert before == f"IoU {shared / (40 * 40 + 42 * 46 - shared):.2f}"
    assert everything == "all 9 maps" and float(after[4:]) > 0.9
    assert {panel.caption for row in rows for panel in row[1:]} == {"probability 1.00"}
    assert headers[1:] == [f"Points of column {k}" for k in (1, 2, 3)]
    assert "object" in legend
    rows, _, legend = panels_of(monkeypatch, maps(target=None))
    assert rows[0][0].caption == rows[2][0].caption == "" and "object" not in legend


@pytest.mark.parametrize(("size", "rows"), [(2, 3), (4, 4)])
def test_grids_of_other_sizes_have_panels_for_all_points(monkeypatch, size, rows):
    grid, headers, _ = panels_of(monkeypatch, maps(size))
    assert len(grid) == rows and len(headers) == size + 1
    words = [panel.caption for row in grid for panel in row[1:]]
    assert sum(caption.startswith("probability") for caption in words) == size**2


def test_points_of_a_column_stand_below_each_other(monkeypatch):
    logits = torch.full((9, 28, 28), -8.0)
    logits[:, 14, 14] = torch.logit(torch.arange(1, 10) / 10)
    rows, *_ = panels_of(monkeypatch, GridMaps(logits, BOX, 2.0))
    captions = [[panel.caption[-4:] for panel in row[1:]] for row in rows]
    assert captions == [
        ["0.10", "0.40", "0.70"],
        ["0.20", "0.50", "0.80"],
        ["0.30", "0.60", "0.90"],
    ]


def test_every_box_needs_its_image_and_all_a_grid_of_one_size():
    with pytest.raises(ValueError, match="of 1 boxes for 2 images"):
        draw_heat_maps([IMAGE, IMAGE], [maps()])
    with pytest.raises(ValueError, match=r"grids of one size, not \[2, 3\]"):
        draw_heat_maps([IMAGE, IMAGE], [maps(3), maps(2)])
