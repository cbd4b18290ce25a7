"""Whole proposal heads, from the maps of an FPN to the final proposals, in pyramid convolutions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from torch import nn

from .. import model_zoo
from .case import Case
from .heads import (
    CASCADE_RPN,
    RPN,
    build_cascade_rpn,
    build_head,
    pyramid_convolution,
    run_head,
    with_one_anchor,
)
from .mmdet_head import NotAvailable, mmdet_head
from .row import Row, missing_row, timed_row
from .targets import CASCADE_CONV
from .timing import Budget, Part, time_pairs

MODE = "head"


def head_rows(
    case: Case, budget: Budget, cascade_rpn: str = CASCADE_RPN, rpn: str = RPN
) -> Iterator[Row]:
    """Times the inference of Cascade RPN and of a plain RPN.

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
    config = model_zoo.get_config(rpn)
    anchors = config.model.proposal_generator.head.num_anchors
    baseline = build_head(config, case)
    one_anchor = build_head(with_one_anchor(config), case)

    def inference(head: nn.Module) -> Part:
        head.eval()
        return lambda: run_head(head, inputs, case)

    def convolution() -> object:
        return pyramid_convolution(inputs)

    def row(quantity: str, part: Part, reference: Part) -> Row:
        times = time_pairs([part], [reference], device=case.torch_device, budget=budget)
        return timed_row(MODE, quantity, case, times.total())

    ours, plain = inference(cascade), inference(baseline)
    yield row(CASCADE_CONV, ours, convolution)
    yield row(f"RPN head, {anchors} anchors / pyramid convolution", plain, convolution)
    yield row("RPN head, 1 anchor / pyramid convolution", inference(one_anchor), convolution)
    yield row(f"Cascade RPN head / RPN head, {anchors} anchors", ours, plain)
    quantity = "Cascade RPN head / mmdet's Cascade RPN head"
    try:
        yield row(quantity, ours, mmdet_head(inputs, case))
    except NotAvailable as reason:
        yield missing_row(MODE, quantity, case, str(reason))
