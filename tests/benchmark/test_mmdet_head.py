"""What the adapter asks of mmdet, with modules in its place: mmdet itself is no dependency."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import pytest
import torch
from torch import nn

from cascade_rpn_d2.benchmark.heads import JITTER, head_inputs
from cascade_rpn_d2.benchmark.mmdet_head import CONFIG, NotAvailable, mmdet_head
from tests.benchmark.cases import TINY

NAMES = ["p2", "p3", "p4", "p5", "p6"]


class Head(nn.Module):
    """A head of one layer that remembers what it was asked to predict for."""

    def __init__(self):
        super().__init__()
        stage = nn.Module()
        stage.rpn_reg = nn.Conv2d(8, 4, 1)
        self.stages = nn.ModuleList([stage])

    def predict(self, maps, samples, rescale):
        self.samples, self.rescale = samples, rescale
        return [self.stages[0].rpn_reg(x) for x in maps]


class Config(dict):
    """A dictionary with attributes, as mmengine's configs are."""

    __getattr__ = dict.__getitem__


@pytest.fixture
def head(monkeypatch):
    head = Head()
    stage = Config(in_channels=8, sampling=True)
    config = SimpleNamespace(model=SimpleNamespace(rpn_head=SimpleNamespace(stages=[stage])))

    def build(model):
        # Arguments that mmdet 3 wants, and one that it does not know.
        assert model.rpn_head.num_classes == 1
        assert "sampling" not in model.rpn_head.stages[0]
        return SimpleNamespace(rpn_head=head)

    parts = {
        "mmdet": {},
        "mmdet.registry": {"MODELS": SimpleNamespace(build=build)},
        "mmdet.structures": {"DetDataSample": lambda metainfo: metainfo},
        "mmdet.utils": {"register_all_modules": lambda: None},
        "mmengine": {},
        "mmengine.hub": {"get_config": {CONFIG: config}.__getitem__},
    }
    for name, contents in parts.items():
        module = ModuleType(name)
        vars(module).update(contents)
        monkeypatch.setitem(sys.modules, name, module)
    return head


def test_it_predicts_on_the_maps_with_a_spread_first_stage(head):
    outputs = mmdet_head(head_inputs(TINY, 8, NAMES), TINY)()
    assert head.samples == [{"img_shape": (64, 96), "pad_shape": (64, 96)}]
    assert head.rescale is False and not outputs[0].requires_grad
    values = torch.cat([x.flatten(2) for x in outputs], dim=2)[0].std(dim=1)
    torch.testing.assert_close(values * torch.tensor([0.1, 0.1, 0.5, 0.5]), torch.tensor(JITTER))


def test_maps_that_its_config_is_not_for(head):
    with pytest.raises(NotAvailable, match="not for maps of 4 channels"):
        mmdet_head(head_inputs(TINY, 4, NAMES), TINY)


def test_without_mmdet_the_reason_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "mmdet", None)
    monkeypatch.setitem(sys.modules, "mmdet.registry", None)
    with pytest.raises(NotAvailable, match="mmdet is not importable"):
        mmdet_head(head_inputs(TINY, 8, NAMES), TINY)
