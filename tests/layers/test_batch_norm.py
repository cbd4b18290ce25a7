"""Batch norm with fixed statistics: what it computes, trains and stores."""

from __future__ import annotations

import torch
from detectron2.layers import FrozenBatchNorm2d
from torch import nn

from cascade_rpn_d2.layers import FixedStatisticsBatchNorm2d


def pretrained() -> FixedStatisticsBatchNorm2d:
    norm = FixedStatisticsBatchNorm2d(5)
    for tensor in (norm.running_mean, norm.running_var, norm.weight.data, norm.bias.data):
        tensor.uniform_(0.5, 2)
    return norm


def test_training_normalises_by_the_stored_statistics_and_leaves_them():
    norm = pretrained()
    before = {name: value.clone() for name, value in norm.state_dict().items()}
    model = nn.Sequential(nn.Conv2d(3, 5, 1), norm).train()
    assert model.training and model[0].training
    x = torch.randn(2, 5, 4, 6) * 3 + 1
    mean, var, weight, bias = (
        before[name].view(1, -1, 1, 1).double()
        for name in ("running_mean", "running_var", "weight", "bias")
    )
    expected = (x.double() - mean) / (var + 1e-5).sqrt() * weight + bias
    torch.testing.assert_close(norm(x).double(), expected, rtol=1e-5, atol=1e-5)
    for name, value in norm.state_dict().items():
        assert torch.equal(value, before[name])


def test_scale_and_shift_are_trained():
    norm = pretrained().train()
    x = torch.randn(2, 5, 4, 6)
    norm(x).sum().backward()
    normalised = (x - norm.running_mean.view(1, -1, 1, 1)) / (
        norm.running_var.view(1, -1, 1, 1) + norm.eps
    ).sqrt()
    torch.testing.assert_close(norm.weight.grad, normalised.sum((0, 2, 3)), rtol=1e-4, atol=1e-4)
    assert torch.equal(norm.bias.grad, torch.full((5,), 2.0 * 4 * 6))


def test_a_map_of_one_value_is_no_special_case():
    # Batch norm with statistics of its own refuses it.
    assert pretrained().train()(torch.randn(1, 5, 1, 1)).isfinite().all()


def test_the_state_is_that_of_a_frozen_norm():
    norm, frozen = pretrained(), FrozenBatchNorm2d(5)
    frozen.load_state_dict(norm.state_dict())
    x = torch.randn(2, 5, 4, 6)
    torch.testing.assert_close(frozen(x), norm(x))
    # A plain dict, as from a converted file, has no version that would say which keys to expect.
    other = FixedStatisticsBatchNorm2d(5)
    other.load_state_dict(dict(frozen.state_dict()))
    assert torch.equal(other(x), norm(x))


def test_freezing_makes_it_a_frozen_norm():
    norm = pretrained()
    frozen = FrozenBatchNorm2d.convert_frozen_batchnorm(nn.Sequential(norm))[0]
    assert isinstance(frozen, FrozenBatchNorm2d) and not list(frozen.parameters())
    assert frozen.state_dict().keys() == norm.state_dict().keys()
    x = torch.randn(2, 5, 4, 6)
    torch.testing.assert_close(frozen(x), norm(x))
