"""Which way round a location branch was trained: told by images, never by its bias."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F
from detectron2.structures import ImageList
from torch import Tensor, nn

from cascade_rpn_d2.checkpoint.location_polarity import (
    LocationStatistics,
    decide_polarity,
    measure_locations,
    turned_round,
)
from cascade_rpn_d2.modeling import Grid, GroundTruth, LocationLoss, RegionAssigner
from cascade_rpn_d2.modeling.guided_anchors import GuidedAnchors, flatten_cells, location_conv
from cascade_rpn_d2.modeling.score_losses import SigmoidFocalLoss

STRIDES = (4, 8, 16)


class Guide(nn.Module):
    """A location branch on maps whose last layer is a ReLU, as in every guided head."""

    def __init__(self, exchanged: bool = False):
        super().__init__()
        self.conv = nn.Conv2d(3, 64, 3, padding=1)
        self.location = location_conv(64)
        focal = SigmoidFocalLoss()
        self.location_loss = LocationLoss(
            assigner=RegionAssigner(adjacent="negatives", overlap="center", keep_border=True),
            # As mmdet >= 2.0 has it.
            loss=(lambda logits, labels: focal(logits, 1 - labels)) if exchanged else focal,
        )
        self.location_threshold = 0.01

    def forward(self, maps: list[Tensor]) -> tuple[Tensor, list[Grid]]:
        logits = flatten_cells([self.location(F.relu(self.conv(x))) for x in maps]).squeeze(-1)
        sizes = zip(maps, STRIDES, strict=True)
        return logits, [Grid(*x.shape[-2:], stride) for x, stride in sizes]

    def trace(self, images: ImageList, maps: list[Tensor]) -> GuidedAnchors:
        logits, grids = self(maps)
        probability = logits.sigmoid()
        anchors = torch.zeros(*logits.shape, 4)
        return GuidedAnchors(grids, anchors, probability, probability >= self.location_threshold)


class Network(nn.Module):
    """A detector whose maps are the image itself, at three scales."""

    def __init__(self, guide: Guide):
        super().__init__()
        self.proposal_generator = guide
        self.register_buffer("pixel_mean", torch.tensor([100.0, 100, 100]).view(-1, 1, 1))
        self.register_buffer("pixel_std", torch.tensor([50.0, 50, 50]).view(-1, 1, 1))
        self.backbone = Pyramid()


class Pyramid(nn.Module):
    size_divisibility = 16

    def forward(self, pixels: Tensor) -> list[Tensor]:
        return [F.avg_pool2d(pixels, stride) for stride in STRIDES]


def draw(count: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Bright squares of 32 px on noise, in images that are no multiple of a stride."""
    for _ in range(count):
        image = torch.rand(3, 120, 100) * 80
        x, y = torch.randint(0, 68, (2,)).tolist()
        image[:, y : y + 32, x : x + 32] += 150
        yield image, torch.tensor([[x, y, x + 32.0, y + 32]])


def trained(*, exchanged: bool) -> Network:
    network = Network(Guide(exchanged))
    guide = network.proposal_generator
    optimizer = torch.optim.Adam(guide.parameters(), lr=0.01)
    for image, objects in draw(60):
        pixels = F.pad(image, (0, 12, 0, 8), value=100)  # as the backbone needs it
        logits, grids = guide(network.backbone((pixels - 100)[None] / 50))
        truth = GroundTruth(objects[None], torch.ones(1, 1, dtype=torch.bool))
        loss = guide.location_loss(logits, truth, grids)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network


def measure(network: Network) -> LocationStatistics:
    statistics = measure_locations(network, draw(10), "on drawings")
    assert statistics is not None
    return statistics


def test_a_branch_with_the_right_labels_is_kept():
    statistics = measure(trained(exchanged=False))
    assert statistics.inside > 0.4 and statistics.outside < 0.1 and statistics.active < 0.3
    decision = decide_polarity(statistics)
    assert not decision.flip
    assert re.search(
        r"where objects are \(a mean probability of 0\.\d\d .* on drawings\)", decision.reason
    )


def test_a_branch_with_exchanged_labels_is_turned_round_once():
    network = trained(exchanged=True)
    exchanged = measure(network)
    assert exchanged.inside < 0.4 and exchanged.outside > 0.9 and exchanged.active > 0.95
    assert decide_polarity(exchanged).flip

    generator = network.proposal_generator
    state = {key: value.clone() for key, value in generator.state_dict().items()}
    # Its sign would tell nothing.
    assert state["location.bias"] < -3
    turned = turned_round(state, ["location.weight", "location.bias"])
    assert torch.equal(turned["conv.weight"], state["conv.weight"])
    generator.load_state_dict(turned)
    again = measure(network)
    assert again.inside == pytest.approx(1 - exchanged.inside, abs=0.15)  # of other drawings
    assert again.outside == pytest.approx(1 - exchanged.outside, abs=0.05)
    assert not decide_polarity(again).flip


def test_a_branch_that_has_learned_nothing_is_kept():
    decision = decide_polarity(measure(Network(Guide())))
    assert not decision.flip and "cannot be told" in decision.reason
    assert "Other images, of the kind that it was trained on, may tell" in decision.reason


@pytest.mark.parametrize(
    ("inside", "outside", "active", "flip", "reason"),
    [
        (0.38, 0.84, 1.0, True, "0.38 in the middle of objects and 0.84 outside, 100%"),
        (0.45, 0.10, 1.0, False, "predicts where objects are"),
        (0.05, 0.01, 0.3, False, "predicts where objects are"),
        # Unusual enough to be left alone.
        (0.60, 0.65, 1.0, False, "cannot be told"),
        (0.20, 0.40, 1.0, False, "cannot be told"),
        (0.10, 0.60, 0.7, False, "cannot be told"),
        (0.90, 0.70, 1.0, False, "cannot be told"),
        (0.012, 0.010, 0.5, False, "cannot be told"),
    ],
)
def test_only_what_is_plain_to_see_is_turned_round(inside, outside, active, flip, reason):
    decision = decide_polarity(LocationStatistics(inside, outside, active, "on images"))
    assert decision.flip == flip and reason in decision.reason
    assert decide_polarity(None).flip is False


def test_a_choice_needs_no_images():
    right = LocationStatistics(0.45, 0.1, 0.3, "on images")
    assert decide_polarity(right, "flip").flip
    assert not decide_polarity(LocationStatistics(0.38, 0.84, 1.0, "on images"), "keep").flip
    with pytest.raises(ValueError, match="'auto', 'keep' or 'flip', not 'turn'"):
        decide_polarity(right, "turn")


def test_without_objects_there_is_nothing_to_measure():
    samples = [(torch.zeros(3, 64, 64), torch.zeros(0, 4))]
    assert measure_locations(Network(Guide()), samples, "on nothing") is None


def test_means_are_over_the_regions_of_the_objects():
    """An object of 32 px on a map of stride 4: 9 cells in its middle."""
    network = Network(Guide())
    guide = network.proposal_generator
    nn.init.zeros_(guide.conv.weight)
    nn.init.zeros_(guide.conv.bias)
    nn.init.constant_(guide.location.bias, 0.0)
    trace = guide.trace

    def with_a_hot_middle(images, maps):
        seen = trace(images, maps)
        seen.probability[0, : 32 * 32].view(32, 32)[15:18, 15:18] = 0.9
        return seen

    guide.trace = with_a_hot_middle
    samples = [(torch.zeros(3, 128, 128), torch.tensor([[48.0, 48, 80, 80]]))]
    statistics = measure_locations(network, samples, "here")
    assert statistics == LocationStatistics(
        pytest.approx(0.9), pytest.approx(0.5), pytest.approx(1.0), "here"
    )
