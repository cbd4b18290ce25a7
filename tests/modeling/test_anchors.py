from __future__ import annotations

import pytest
import torch
from detectron2.modeling.anchor_generator import DefaultAnchorGenerator
from detectron2.structures import Boxes
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from cascade_rpn_d2.modeling.anchors import pyramid_anchors

SIZES = ((1, 5, 7), (2, 3, 4))  # channels, height, width


def make_generator(offset: float = 0.5) -> DefaultAnchorGenerator:
    return DefaultAnchorGenerator(
        sizes=[[32], [64]], aspect_ratios=[0.5, 1.0], strides=[8, 16], offset=offset
    )


class DevicesRead(TorchDispatchMode):
    """Where the tensors lie that operators are given."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        leaves = tree_leaves((args, kwargs or {}))
        self.found |= {x.device.type for x in leaves if isinstance(x, torch.Tensor)}
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("offset", [0.0, 0.5])
def test_anchors_are_those_of_detectron2(offset):
    generator = make_generator(offset)
    maps = [torch.zeros(2, *size) for size in SIZES]
    anchors = pyramid_anchors(generator, maps)
    assert anchors.shape == (2 * (35 + 12), 4)
    assert torch.equal(anchors, Boxes.cat(generator(maps)).tensor)


def test_nothing_is_copied_from_the_cpu():
    generator = make_generator().to("meta")
    maps = [torch.zeros(2, *size, device="meta") for size in SIZES]
    with DevicesRead() as devices:
        anchors = pyramid_anchors(generator, maps)
    assert anchors.device.type == "meta" and devices.found == {"meta"}


@pytest.mark.gpu
def test_the_host_does_not_wait():
    generator, maps = make_generator(), [torch.zeros(2, *size) for size in SIZES]
    expected = pyramid_anchors(generator, maps)
    generator, maps = generator.cuda(), [x.cuda() for x in maps]
    torch.cuda.set_sync_debug_mode("error")
    try:
        anchors = pyramid_anchors(generator, maps)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert torch.equal(anchors.cpu(), expected)
