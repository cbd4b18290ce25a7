"""Traced detectors, as Detectron2 exports them, on images with other numbers of boxes."""

from __future__ import annotations

import pytest
import torch
from detectron2.export import TracingAdapter
from detectron2.structures import Instances
from torch import Tensor, nn

from tests.modeling.roi_heads.toy_cascade import build_scored
from tests.modeling.roi_heads.toy_heads import background, build, build_cpm, features, proposals


class Detector(nn.Module):
    """Heads that are given one map and the proposals of one image."""

    def __init__(self, heads: nn.Module):
        super().__init__()
        self.heads = heads

    def forward(self, inputs: tuple[Tensor, Tensor]) -> list[Instances]:
        maps, boxes = inputs
        return self.heads(None, {"p2": maps}, [proposals(boxes)])[0]


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("make", [lambda: build(count=2), lambda: build_cpm(count=3), build_scored])
def test_a_trace_takes_any_number_of_boxes(make):
    inputs = [(features()["p2"], background(count)) for count in (12, 5, 0)]
    adapter = TracingAdapter(Detector(make()).eval(), (inputs[0],))
    traced = torch.jit.trace(adapter, adapter.flattened_inputs, check_trace=False)
    for given in inputs:
        for found, expected in zip(traced(*given), adapter(*given), strict=True):
            torch.testing.assert_close(found, expected)
