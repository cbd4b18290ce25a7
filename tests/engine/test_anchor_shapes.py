"""Shapes of objects and anchors, measured."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from detectron2.modeling.anchor_generator import DefaultAnchorGenerator

from cascade_rpn_d2.engine.anchor_shapes import (
    GUIDED,
    OBJECTS,
    RATIO,
    SCALE,
    SLIDING,
    ShapeComparison,
    Shapes,
    measure_shapes,
    shape_densities,
    shapes_table,
    sliding_window,
    write_shapes,
)
from cascade_rpn_d2.engine.generators import trace_anchors
from cascade_rpn_d2.engine.labelled_images import choose_dataset, load_records, read_record
from cascade_rpn_d2.model_zoo import get_config
from tests.engine.tiny_models import tiny_model


@pytest.fixture(scope="module")
def predictor():
    return tiny_model("tiny_guided_anchor_rpn").load("cpu", trained=False)


@pytest.fixture
def records(tiny_data):
    return load_records(choose_dataset(tiny_model("tiny_rpn").config(), tiny_data))


def boxes(*sizes):
    """Boxes (n, 4) of sizes (width, height), anywhere."""
    return torch.tensor([[5.0, 7.0, 5.0 + w, 7.0 + h] for w, h in sizes])


def test_scale_and_ratio_of_known_boxes():
    shapes = Shapes()
    shapes.add(boxes((64, 16), (32, 32)), times=[1, 3])
    shapes.add(boxes((16, 64), (0, 5)))  # the second has no area
    assert shapes.scale.total == shapes.ratio.total == 5
    assert [shapes.scale.quantile(q) for q in (0.05, 0.95)] == [32, 32]
    assert [shapes.ratio.quantile(q) for q in (0.2, 0.5, 1.0)] == [1 / 4, 1, 4]


def test_a_dataset_is_measured(predictor, records):
    window = DefaultAnchorGenerator(
        sizes=[[16], [64]], aspect_ratios=[[0.5, 1.0, 2.0]], strides=[8, 16], offset=0.0
    )
    found = measure_shapes(predictor, window, records)
    assert found.images == 5
    assert found.groups[OBJECTS].scale.total == 15  # three on each image
    # Images of 64 x 64 are scaled to 96 x 96: 12 x 12 and 6 x 6 cells, three anchors each.
    sliding = found.groups[SLIDING]
    assert sliding.scale.total == 5 * 3 * (144 + 36)
    assert [sliding.scale.quantile(q) for q in (0.8, 0.81)] == [16, 64]
    assert [sliding.ratio.quantile(q) for q in (0.3, 0.4, 0.7)] == [0.5, 1, 2]
    # The objects are 12 to 23 px wide and high, which becomes 18 to 34.5.
    truth = found.groups[OBJECTS].scale
    assert 18 * 0.98 <= truth.quantile(0) and truth.quantile(1) <= 34.5 * 1.02


def test_guided_anchors_are_those_of_active_cells(predictor, records):
    generator = predictor.model.proposal_generator
    window = generator.anchor_generator
    traces = [trace_anchors(predictor, read_record(record)) for record in records]
    active = sum(int(trace.active.sum()) for trace in traces)
    assert 0 < active < sum(len(trace.active) for trace in traces)
    found = measure_shapes(predictor, window, records)
    assert found.groups[GUIDED].scale.total == active
    kept = torch.cat([trace.anchors[trace.active][:, 0] for trace in traces])
    expected = Shapes()
    expected.add(kept)
    np.testing.assert_array_equal(found.groups[GUIDED].ratio.counts, expected.ratio.counts)


def test_what_is_missing_is_told(predictor, records, monkeypatch):
    generator = predictor.model.proposal_generator
    window = generator.anchor_generator
    monkeypatch.setattr(generator, "location_threshold", 2.0)
    with pytest.raises(ValueError, match="No cell is active on the 5 images"):
        measure_shapes(predictor, window, records)
    for record in records:
        record["annotations"] = []
    with pytest.raises(ValueError, match="None of the 5 images has an object"):
        measure_shapes(predictor, window, records)


def test_the_sliding_window_is_that_of_a_config():
    window = sliding_window(get_config("guided_anchoring/rpn_r50_fpn_1x.py"))
    assert window.strides == [4, 8, 16, 32, 64] and window.num_anchors == [3] * 5
    finest = next(iter(window.cell_anchors))
    assert finest[1].tolist() == [-16, -16, 16, 16]
    config = get_config("guided_anchoring/retinanet_r50_fpn_1x.py")
    assert sliding_window(config).num_anchors == [9] * 5
    del config.model.anchor_generator
    with pytest.raises(ValueError, match="no DefaultAnchorGenerator: give one such as"):
        sliding_window(config)


@pytest.fixture
def comparison():
    groups = {name: Shapes() for name in (OBJECTS, GUIDED, SLIDING)}
    groups[OBJECTS].add(boxes((32, 32), (64, 64)), 4)
    groups[GUIDED].add(boxes((32, 32), (64, 128)), 10)
    groups[SLIDING].add(boxes((16, 16)), 100)
    return ShapeComparison(2, groups)


def test_the_table_has_quantiles_and_distances(comparison):
    lines = shapes_table(comparison).splitlines()[2:]
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    assert cells[0] == ["scale √(w·h), pixels", "ground truth", "4.0", "32", "32", "64", ""]
    # Half of them is half an octave larger; two octaves and one octave up from 16 on average.
    assert cells[1] == ["", "guided anchors", "10.0", "32", "32", "90.5", "0.25"]
    assert cells[2] == ["", "sliding window", "50.0", "16", "16", "16", "1.50"]
    assert cells[3] == ["aspect ratio h/w", "ground truth", "4.0", "1", "1", "1", ""]
    assert cells[4] == ["", "guided anchors", "10.0", "1", "1", "2", "0.50"]


def test_densities_share_bins_that_hold_all_values(comparison):
    panels = shape_densities(comparison)
    for quantity, first, last in ((SCALE, 4, 6.5), (RATIO, 0, 1)):
        for density in panels[quantity].values():
            assert density.edges[0] == first - 1 / 8 and density.edges[-1] == last + 1 / 8
            assert np.sum(density.values * np.diff(density.edges)) == pytest.approx(1)
    # All of the sliding window is in the first bin, a quarter of an octave wide.
    assert panels[SCALE][SLIDING].values[0] == 4


def test_json_holds_the_values(comparison, tmp_path):
    model = tiny_model("tiny_guided_anchor_rpn")
    write_shapes(tmp_path / "a.json", "data", model, "rpn.py", comparison)
    written = json.loads((tmp_path / "a.json").read_text())
    assert (written["dataset"], written["images"]) == ("data", 2)
    assert written["sliding_window"] == "rpn.py" and written["model"] == model.description()
    entry = written[SCALE][SLIDING]
    assert entry["count"] == 100 and entry["octaves_to_ground_truth"] == pytest.approx(1.5)
    assert entry["quantiles"]["0.5"] == 16
    assert len(entry["log2_edges"]) == len(entry["density"]) + 1
