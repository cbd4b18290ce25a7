"""A detector with boxes that name their last pixel, seen from outside."""

from __future__ import annotations

import pytest
import torch
from detectron2.modeling import Backbone
from detectron2.structures import Boxes, Instances
from torch import nn

from cascade_rpn_d2.modeling import InclusiveRCNN

MEAN = (100.0, 110.0, 120.0)


class Eyes(Backbone):
    """Maps are the images."""

    size_divisibility = 32

    def forward(self, x):
        return {"p2": x}


class Knower(nn.Module):
    """Heads that find a given box in every image, or take the boxes they are given."""

    def __init__(self, box):
        super().__init__()
        self.box = torch.tensor([box])
        self.given = self.targets = None

    def forward(self, images, features, proposals, targets=None):
        self.targets = targets
        if self.training:
            return [], {"loss": features["p2"].sum() * 0}
        return [
            Instances(size, pred_boxes=Boxes(self.box), scores=torch.ones(1))
            for size in images.image_sizes
        ], {}

    def forward_with_given_boxes(self, features, instances):
        self.given = instances
        return instances


class Proposer(nn.Module):
    def forward(self, images, features, targets):
        return [], {}


def make(box=(10.0, 20, 49, 39), **options) -> InclusiveRCNN:
    return InclusiveRCNN(
        backbone=Eyes(),
        proposal_generator=Proposer(),
        roi_heads=Knower(box),
        pixel_mean=MEAN,
        pixel_std=(2.0, 2.0, 2.0),
        **options,
    ).eval()


def detected(model, **entry) -> list:
    (output,) = model([{"image": torch.zeros(3, 64, 128)} | entry])
    return output["instances"].pred_boxes.tensor[0].tolist()


def test_detections_are_given_by_their_edges():
    assert detected(make()) == [10, 20, 50, 40]


def test_the_last_pixel_is_one_of_the_original_image():
    # The detector sees the image at twice its size: its box is 5 to 24.5, 10 to 19.5 there.
    found = detected(make(), height=32, width=64)
    assert found == pytest.approx([5, 10, 24.5 + 1, 19.5 + 1])


def test_a_box_in_the_last_corner_ends_with_the_image():
    assert detected(make((100.0, 50, 127, 63))) == [100, 50, 128, 64]
    found = detected(make((100.0, 50, 127, 63)), height=128, width=256)
    assert found == pytest.approx([200, 100, 255, 127])


def test_raw_boxes_are_given_by_their_edges_in_what_the_detector_sees():
    batch = [{"image": torch.zeros(3, 64, 128), "height": 32, "width": 64}]
    (found,) = make().inference(batch, do_postprocess=False)
    assert found.image_size == (64, 128)
    assert found.pred_boxes.tensor.tolist() == [[10, 20, 51, 41]]


def test_given_boxes_come_back_as_they_are():
    model = make()
    batch = [{"image": torch.zeros(3, 64, 128), "height": 32, "width": 64}]
    known = Instances((64, 128), pred_boxes=Boxes(torch.tensor([[10.0, 20, 51, 41]])))
    (found,) = model.inference(batch, [known], do_postprocess=False)
    assert model.roi_heads.given[0].pred_boxes.tensor.tolist() == [[10, 20, 49, 39]]
    assert torch.equal(found.pred_boxes.tensor, known.pred_boxes.tensor)


def test_objects_are_learnt_by_their_last_pixel():
    model = make().train()
    truth = Instances((64, 128), gt_boxes=Boxes(torch.tensor([[10.0, 20, 50, 40]])))
    truth.gt_classes = torch.tensor([3])
    batch = [{"image": torch.zeros(3, 64, 128), "height": 64, "width": 128, "instances": truth}]
    model(batch)
    (learnt,) = model.roi_heads.targets
    assert learnt.gt_boxes.tensor.tolist() == [[10, 20, 49, 39]]
    assert learnt.gt_classes.tolist() == [3]
    assert truth.gt_boxes.tensor.tolist() == [[10, 20, 50, 40]]  # the caller's stays


@pytest.mark.parametrize("images", [1, 2])
@pytest.mark.parametrize("black", [True, False])
def test_padding_is_black_before_or_after_pixels_are_normalised(black, images):
    model = make(pads_black=black)
    batch = [{"image": torch.full((3, 20, 40), 150.0)}, {"image": torch.full((3, 30, 30), 150.0)}]
    found = model.preprocess_image(batch[:images])
    assert found.image_sizes == [(20, 40), (30, 30)][:images]
    assert found.tensor.shape == (images, 3, 32, 64)
    mean = torch.tensor(MEAN)
    assert torch.equal(found.tensor[0, :, 19, 39], (150 - mean) / 2)
    outside = -mean / 2 if black else torch.zeros(3)
    assert torch.equal(found.tensor[0, :, 20, 0], outside)
    assert torch.equal(found.tensor[-1, :, 31, 63], outside)


def test_training_pads_with_the_mean_whatever_the_test_does():
    found = make(pads_black=True).train().preprocess_image([{"image": torch.zeros(3, 20, 40)}])
    assert not found.tensor[0, :, 20:].any()
