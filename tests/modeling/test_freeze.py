"""A frozen part of a model stays as it is in a training step."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from cascade_rpn_d2.modeling import freeze_parts


def network() -> nn.Sequential:
    model = nn.Sequential()
    trunk = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.ReLU())
    model.add_module("trunk", trunk)
    model.add_module("head", nn.Sequential(nn.Conv2d(4, 1, 1), nn.BatchNorm2d(1)))
    return model


def step(model: nn.Module) -> torch.Tensor:
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=0.1, weight_decay=0.1)
    out = model.train()(torch.randn(2, 3, 8, 8) + 3)
    out.square().sum().backward()
    optimizer.step()
    return out


def test_weights_and_statistics_stay_and_others_change():
    model = network()
    freeze_parts(model, ["trunk"])
    before = copy.deepcopy(model.state_dict())
    step(model)
    after = model.state_dict()
    changed = {key.partition(".")[0] for key in after if not torch.equal(after[key], before[key])}
    assert changed == {"head"}
    assert list(after) == list(network().state_dict())


def test_a_frozen_part_gives_the_same_in_both_modes_and_in_a_copy():
    model = network()
    x = torch.randn(2, 3, 8, 8)
    expected = model.eval().trunk(x)
    freeze_parts(model, ["trunk"])
    for each in (model, copy.deepcopy(model)):
        assert torch.equal(each.train().trunk(x), expected)
        assert each.training and each.trunk.training  # its own mode is that of the model


def test_a_part_of_a_part():
    model = network()
    freeze_parts(model, ["trunk.0"])
    assert not model.trunk[0].weight.requires_grad and model.trunk[1].weight.requires_grad


def test_nothing_is_frozen_by_no_name():
    model = network()
    freeze_parts(model, [])
    assert all(p.requires_grad for p in model.parameters())


def test_a_part_that_is_not_there():
    with pytest.raises(ValueError, match="no part 'backbone' to freeze: it has trunk, head"):
        freeze_parts(network(), ["backbone"])
