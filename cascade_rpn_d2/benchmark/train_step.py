"""A training step of whole proposal heads, in pyramid convolutions: targets, losses, gradients."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from detectron2.utils.events import EventStorage
from torch import Tensor, nn

from .. import model_zoo
from .case import Case
from .heads import (
    CASCADE_RPN,
    RPN,
    HeadInputs,
    build_cascade_rpn,
    build_head,
    pyramid_convolution,
    random_truth,
)
from .row import Row, timed_row
from .targets import TRAIN_CONV
from .timing import Budget, Part, time_pairs

MODE = "train-step"


def train_step_rows(
    case: Case, budget: Budget, cascade_rpn: str = CASCADE_RPN, rpn: str = RPN
) -> Iterator[Row]:
    """Times a training step of Cascade RPN and of a plain RPN.

    Args:
        case: on what; the boxes are the heads' own.
        budget: how often.
        cascade_rpn: config of a Cascade RPN of two stages.
        rpn: config of a plain RPN on maps of the same names and channels.

    Yields:
        A row a comparison.
    """
    case = replace(case, boxes=None)
    cascade, inputs = build_cascade_rpn(cascade_rpn, case)
    ours = TrainStep(cascade, inputs, case)
    plain = TrainStep(build_head(model_zoo.get_config(rpn), case), inputs, case)

    def convolution() -> object:
        return pyramid_convolution(inputs)

    comparisons: dict[str, tuple[Part, Part]] = {
        TRAIN_CONV: (ours, convolution),
        "RPN training step / pyramid convolution": (plain, convolution),
        "Cascade RPN training step / RPN training step": (ours, plain),
    }
    for quantity, (part, reference) in comparisons.items():
        times = time_pairs([part], [reference], device=case.torch_device, budget=budget)
        yield timed_row(MODE, quantity, case, times.total())


class TrainStep:
    """A training step of a head: targets, losses, and gradients of its weights and its maps.

    The optimizer takes no part. A head that its config tells to propose while training does so.

    Args:
        head: a proposal generator; put in training mode.
        inputs: the maps.
        case: on what.
    """

    def __init__(self, head: nn.Module, inputs: HeadInputs, case: Case):
        self.head = head.train()
        self.images = inputs.images
        # Leaves of their own: two steps on the same maps do not add up their gradients.
        self.features = {name: x.detach().requires_grad_() for name, x in inputs.features.items()}
        self.truth = random_truth(case)
        self.case = case
        # Steps on, as in training: statistics are read back once in many iterations.
        self.storage = EventStorage()

    def __call__(self) -> Tensor:
        """Take the step; the sum of the losses."""
        for tensor in (*self.head.parameters(), *self.features.values()):
            tensor.grad = None
        with self.storage:
            with self.case.autocast():
                _, losses = self.head(self.images, self.features, self.truth)
            self.storage.step()
        loss = torch.stack(list(losses.values())).sum()
        loss.backward()
        return loss
