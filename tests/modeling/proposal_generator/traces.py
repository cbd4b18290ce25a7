"""Traces of proposal generators, beside what they were made of."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from detectron2.export import TracingAdapter
from detectron2.structures import ImageList, Instances

from cascade_rpn_d2.modeling.proposal_generator.base import DenseProposalGenerator


class Proposer(torch.nn.Module):
    """A generator whose maps are pooled from the pixels."""

    def __init__(self, generator: DenseProposalGenerator):
        super().__init__()
        self.generator = generator
        self.channels = torch.nn.Conv2d(3, 8, 1)

    def forward(self, inputs: list[dict[str, torch.Tensor]]) -> list[Instances]:
        images = ImageList.from_tensors([x["image"] for x in inputs], 32)
        pixels = self.channels(images.tensor)
        maps = {f"p{i}": F.avg_pool2d(pixels, 2**i) for i in (2, 3, 4)}
        return self.generator(images, maps)[0]


def assert_a_trace_leaves_out_padding(generator: DenseProposalGenerator) -> None:
    """Of images of other sizes than it was traced for, its proposals are those of the eager model.

    Args:
        generator: of at most 20 proposals, on the maps p2 to p4 of 8 channels.
    """
    model = Proposer(generator.eval())
    traced_for, *others = (
        [{"image": 2 + 0.1 * torch.randn(3, *size)} for size in sizes]
        for sizes in (((64, 96), (40, 50)), ((128, 60), (60, 160)), ((33, 97), (160, 96)))
    )
    adapter = TracingAdapter(model, traced_for)
    traced = torch.jit.trace(adapter, adapter.flattened_inputs, check_trace=False)
    for inputs in others:
        expected = model(inputs)
        generator.propose_in_padding = True
        for own, any_cell in zip(expected, model(inputs), strict=True):
            assert not torch.equal(own.objectness_logits, any_cell.objectness_logits)
        generator.propose_in_padding = False
        pixels = [x["image"] for x in inputs]
        for value, wanted in zip(traced(*pixels), adapter(*pixels), strict=True):
            torch.testing.assert_close(value, wanted)
