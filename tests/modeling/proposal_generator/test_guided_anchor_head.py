"""The head of GA-RPN: its size and start, and what it refuses."""

from __future__ import annotations

import math

import pytest
import torch

from cascade_rpn_d2.modeling import (
    FeatureAdaption,
    GuidedAnchorHead,
    LearnedFeatureAdaption,
    PlainFeatureAdaption,
)


def released() -> GuidedAnchorHead:
    return GuidedAnchorHead(256, adaption=FeatureAdaption(256, 256))


def test_as_many_parameters_as_the_released_head():
    assert sum(p.numel() for p in released().parameters()) == 1_182_104


def test_initial_weights():
    torch.manual_seed(0)
    head = released()
    stds = {name: p.std().item() for name, p in head.named_parameters() if "weight" in name}
    assert stds.pop("adaption.offset.weight") == pytest.approx(0.1, rel=0.2)
    assert all(std == pytest.approx(0.01, rel=0.2) for std in stds.values())
    biases = {name: p for name, p in head.named_parameters() if "bias" in name}
    prior = biases.pop("location.bias")
    assert prior.item() == pytest.approx(-math.log(99))
    assert all((bias == 0).all() for bias in biases.values()), "objectness has no prior"


def test_both_branches_and_the_adaption_read_the_map_behind_the_convolution():
    head = GuidedAnchorHead(8, adaption=FeatureAdaption(8, 8)).double()
    maps = [torch.randn(2, 8, 6, 7, dtype=torch.double), torch.randn(2, 8, 3, 4).double()]
    guide = head(maps)
    for x, features in zip(maps, guide.features, strict=True):
        torch.testing.assert_close(features, head.conv(x).relu())
    assert guide.location.shape == (2, 6 * 7 + 3 * 4)
    torch.testing.assert_close(
        guide.location[1, :42].view(6, 7), head.location(guide.features[0])[1, 0]
    )
    torch.testing.assert_close(guide.shapes[1], head.shape(guide.features[1]))
    prediction = head.predict(guide)
    assert prediction.deltas.shape == (2, 54, 4) and prediction.logits.shape == (2, 54)


def test_the_shape_decides_what_a_cell_sees_and_gets_no_gradient_for_it():
    adaption = FeatureAdaption(8, 8)
    x = torch.randn(1, 8, 9, 9)
    shape = torch.zeros(1, 2, 9, 9, requires_grad=True)
    plain = torch.nn.functional.conv2d(x, adaption.conv.weight, padding=1)
    torch.testing.assert_close(adaption(x, shape), plain)
    wide = shape.detach() + torch.tensor([3.0, 0.0]).view(1, 2, 1, 1)
    assert not torch.allclose(adaption(x, wide), plain)
    adaption(x, shape).sum().backward()
    assert shape.grad is None
    assert adaption.offset.weight.grad is not None


@pytest.mark.parametrize("kind", [LearnedFeatureAdaption, PlainFeatureAdaption])
def test_the_other_adaptions_start_as_convolutions_and_ignore_the_shape(kind):
    adaption = kind(8, 8)
    x, mask = torch.randn(2, 8, 5, 6), torch.rand(2, 5, 6) > 0.5
    expected = torch.nn.functional.conv2d(x, adaption.conv.weight, padding=1)
    torch.testing.assert_close(adaption(x, None), expected)
    torch.testing.assert_close(adaption(x, torch.randn(2, 2, 5, 6)), expected)
    torch.testing.assert_close(adaption(x, None, mask), expected * mask[:, None])


def test_what_does_not_fit_together():
    with pytest.raises(ValueError, match="'size', 'box' or 'none', not 'square'"):
        GuidedAnchorHead(8, shape="square")
    with pytest.raises(ValueError, match="one anchor a cell, not 3"):
        GuidedAnchorHead(8, num_anchors=3)
    with pytest.raises(ValueError, match="reads 2 numbers of the shape.*'none' predicts 0"):
        GuidedAnchorHead(8, shape="none", adaption=FeatureAdaption(8, 8))
    with pytest.raises(ValueError, match="reads 2 numbers of the shape.*'box' predicts 4"):
        GuidedAnchorHead(8, shape="box", adaption=FeatureAdaption(8, 8))
    with pytest.raises(ValueError, match="needs a head that predicts shapes"):
        FeatureAdaption(8, 8)(torch.zeros(1, 8, 2, 2), None)


@pytest.mark.parametrize("kind", [FeatureAdaption, LearnedFeatureAdaption])
@pytest.mark.parametrize("groups", [0, 3])
def test_groups_of_offsets_divide_the_channels(kind, groups):
    with pytest.raises(ValueError, match=f"divide the 8 channels of the map.*not {groups}"):
        kind(8, 8, offset_groups=groups)


@pytest.mark.parametrize("prior", [0, 1, -0.1])
def test_a_head_cannot_start_certain(prior):
    with pytest.raises(ValueError, match=f"between 0 and 1, not {prior}"):
        GuidedAnchorHead(8, location_prior=prior)
