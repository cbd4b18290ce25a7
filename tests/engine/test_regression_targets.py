"""The targets of stages, measured."""

from __future__ import annotations

import math

import pytest
import torch
from detectron2.modeling.box_regression import Box2BoxTransform
from detectron2.structures import Boxes, pairwise_iou

from cascade_rpn_d2.engine.generators import read_maps
from cascade_rpn_d2.engine.labelled_images import choose_dataset, load_records
from cascade_rpn_d2.engine.regression_targets import (
    DELTAS,
    StageTargets,
    load_for_targets,
    measure_targets,
    regression_targets,
    resized_objects,
    targets_table,
)
from tests.engine.tiny_models import tiny_model

INPUTS = {"image": torch.zeros(3, 128, 128), "height": 64, "width": 64}


@pytest.fixture(scope="module")
def cascade():
    return tiny_model("tiny_cascade_rpn").load("cpu", trained=False)


@pytest.fixture(scope="module")
def rpn():
    return tiny_model("tiny_rpn").load("cpu", trained=False)


@pytest.fixture
def records(tiny_data):
    return load_records(choose_dataset(tiny_model("tiny_rpn").config(), tiny_data))


def anchor(generator, level: int, row: int, column: int, width: int) -> torch.Tensor:
    """The anchor of a cell of a level that is ``width`` cells wide, on an image of 128 x 128."""
    maps = [torch.zeros(1, 1, 128 // s, 128 // s) for s in (4, 8, 16, 32, 64)]
    return generator.anchor_generator(maps)[level].tensor[row * width + column]


def test_an_object_that_is_an_anchor_leaves_nothing_to_regress(cascade):
    generator = cascade.model.proposal_generator
    box = anchor(generator, 1, 8, 7, 16)
    deltas = regression_targets(cascade, INPUTS, box[None])["stage 1"]
    assert (deltas == 0).all(dim=1).any()
    # Other cells in the middle of the object learn it too: they only have to move.
    assert (deltas[:, 2:] == 0).all()
    side = box[2] - box[0]
    steps = deltas[:, :2] * side / 8
    torch.testing.assert_close(steps, steps.round())


def test_later_stages_start_from_the_boxes_of_the_stage_before(cascade):
    generator = cascade.model.proposal_generator
    box = anchor(generator, 1, 8, 7, 16)
    _, steps = generator.trace(*read_maps(cascade.model, INPUTS))
    cell = 32 * 32 + 8 * 16 + 7
    refined = steps[0].refined[0, cell]
    # The object is what stage 1 makes of its cell: nothing is left for stage 2 there.
    deltas = regression_targets(cascade, INPUTS, refined[None])["stage 2"]
    assert (deltas.abs() < 1e-6).all(dim=1).any()
    assert list(regression_targets(cascade, INPUTS, box[None], True)) == ["stage 1"]


def test_a_worked_example(cascade):
    # An object of 32 px has its size in common with the anchors of stride 8, (2.5, 3, 6.5, 7) in
    # cells. Its middle fifth, rounded, is row 5 and columns 4 and 5; their anchors are centred at
    # x = 32 and 40, the object at 36: an eighth of its width on either side.
    objects = torch.tensor([[20.0, 24, 52, 56]])
    deltas = regression_targets(cascade, INPUTS, objects)["stage 1"]
    assert deltas.tolist() == [[0.125, 0, 0, 0], [-0.125, 0, 0, 0]]


def test_an_rpn_labels_its_anchors(rpn):
    generator = rpn.model.proposal_generator
    objects = torch.tensor([[20.0, 24, 52, 56], [70, 60, 100, 120]])
    deltas = regression_targets(rpn, INPUTS, objects)["RPN"]
    images, maps = read_maps(rpn.model, INPUTS)
    anchors = Boxes.cat(generator.anchor_generator([maps[f] for f in generator.in_features]))
    inside = anchors.inside_box((128, 128))
    iou = pairwise_iou(Boxes(objects), anchors).where(inside, torch.tensor(-1.0))
    best, matched = iou.max(dim=0)
    claimed = (iou == iou.amax(dim=1, keepdim=True)).any(dim=0)
    positive = (best >= 0.7) | claimed
    assert positive.sum() >= 2
    expected = Box2BoxTransform((1.0,) * 4).get_deltas(
        anchors.tensor[positive], objects[matched[positive]]
    )
    torch.testing.assert_close(deltas, expected)


def test_a_dataset_is_measured_image_by_image(cascade, records):
    targets = measure_targets(cascade, records)
    assert list(targets) == ["stage 1", "stage 2"]
    assert targets["stage 1"].stds == (0.1, 0.1, 0.5, 0.5)
    parts = [measure_targets(cascade, [record])["stage 1"].deltas for record in records]
    torch.testing.assert_close(torch.cat(parts), targets["stage 1"].deltas)
    assert len(targets["stage 1"].deltas) >= 15  # three objects on each of five images
    only = measure_targets(cascade, records, first_stage_only=True)
    assert list(only) == ["stage 1"]


def test_weights_are_needed_only_where_targets_depend_on_them(records):
    model = tiny_model("tiny_cascade_rpn")
    with pytest.raises(ValueError, match="no trained weights"):
        load_for_targets(model, "cpu")
    predictor = load_for_targets(model, "cpu", first_stage_only=True)
    assert measure_targets(predictor, records, first_stage_only=True)
    targets = measure_targets(load_for_targets(tiny_model("tiny_rpn"), "cpu"), records)
    assert list(targets) == ["RPN"] and targets["RPN"].stds == (1.0,) * 4


def test_a_dataset_without_objects_is_refused(cascade, records):
    for record in records:
        record["annotations"] = []
    with pytest.raises(ValueError, match="None of the 5 images has an object"):
        measure_targets(cascade, records)


def test_objects_are_scaled_and_cut_as_in_training():
    objects = torch.tensor([[10.0, 10, 20, 30], [50, 50, 80, 60], [70, 10, 90, 20]])
    expected = torch.tensor([[20.0, 20, 40, 60], [100, 100, 128, 120]])
    assert torch.equal(resized_objects(objects, INPUTS), expected)


def test_statistics_and_their_table():
    deltas = torch.tensor([[1.0, 0, 0, -2], [3, 0, 0, 2]])
    stage = StageTargets(deltas, (0.1, 0.1, 0.5, 0.5))
    assert stage.means == [2, 0, 0, 0] and stage.measured_stds == [1, 0, 0, 2]
    lines = targets_table({"stage 1": stage}).splitlines()
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines[2:]]
    assert [row[2] for row in cells] == list(DELTAS)
    assert cells[0] == ["stage 1", "2", "dx", "+2.0000", "1.0000", "0.1"]
    assert cells[3] == ["", "", "dh", "+0.0000", "2.0000", "0.5"]
    assert math.isnan(StageTargets(torch.zeros(0, 4), stage.stds).means[0])
