"""GA-RPN at the thresholds of Table 5 of Guided Anchoring: what cells without anchors save.

A threshold stands for a share of cells that have anchors. Random weights know no objects, so here a
threshold is the quantile of their location probabilities that leaves the share which the paper's
trained model leaves at its own. These cells lie anywhere, where those of a trained model lie
together; that is no easier to read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from detectron2.structures import ImageList
from torch import Tensor

from .. import model_zoo
from ..modeling import GuidedAnchorRPN
from ..modeling.guided_anchors import ActiveCells
from .case import Case
from .end_to_end import inference, random_images, zoo_detector
from .heads import (
    HeadInputs,
    build_head,
    channels_of,
    head_inputs,
    outputs_of,
    pyramid_convolution,
    run_head,
    spread_branches,
)
from .row import Row, limit_of, timed_row
from .targets import ACTIVE_AGREE
from .timing import Budget, Part, time_pairs

MODE = "location-threshold"
GA_RPN = "guided_anchoring/ga_rpn_r50_fpn_1x.py"
# By how much of the largest output two ways to compute the same may differ.
ROUNDING = {"float32": 1e-4, "tf32": 1e-2, "float16": 1e-2, "bfloat16": 5e-2}


@dataclass(frozen=True)
class Published:
    """A row of Table 5.

    Attributes:
        threshold: epsilon.
        anchors: of an image, on average over COCO val2017.
        fps: images per second of the whole model on a TITAN X. The authors' code leaves out cells
            in the last 1x1 convolutions alone.
    """

    threshold: float
    anchors: int
    fps: float

    @property
    def share(self) -> float:
        """Of the cells, those that have an anchor, from 0 to 1."""
        return self.anchors / TABLE_5[0].anchors

    @property
    def ratio(self) -> float:
        """Time of the whole model over its time with an anchor in every cell."""
        return TABLE_5[0].fps / self.fps


TABLE_5 = (
    Published(0.0, 75583, 7.8),
    Published(0.01, 22274, 8.0),
    Published(0.05, 5251, 8.2),
    Published(0.1, 2375, 8.2),
)


def location_threshold_rows(case: Case, budget: Budget, ga_rpn: str = GA_RPN) -> Iterator[Row]:
    """Times inference that computes the active cells alone against one that computes all.

    Args:
        case: on what; the boxes are the model's own.
        budget: how often.
        ga_rpn: config of a GA-RPN with a location branch.

    Yields:
        A row about all cells in pyramid convolutions. Then for every threshold one about how far
        both results are apart, and, unless that is more than rounding, one about the head, one
        about the layers that can leave out cells, and one about the whole model.
    """
    case = replace(case, boxes=None)
    head, inputs = build_ga_rpn(ga_rpn, case)
    whole, detect, features = build_model(ga_rpn, case)

    def propose() -> object:
        return run_head(head, inputs, case)

    def convolve() -> object:
        return pyramid_convolution(inputs)

    def timed(quantity: str, part: Part, reference: Part, **more: Any) -> Row:
        times = time_pairs([part], [reference], device=case.torch_device, budget=budget)
        return timed_row(MODE, quantity, case, times.total(), **more)

    yield timed("GA-RPN head, all cells / pyramid convolution", dense(head, propose), convolve)
    for published in TABLE_5:
        share = leave(published.share, head, inputs.images, inputs.features, case)
        layers = MaskedLayers(head, inputs, case)
        yield (agreement := layers.agreement(share))
        if not agreement.met:
            continue
        for what, part, reference in (
            ("GA-RPN head", sparse(head, propose), dense(head, propose)),
            ("its masked layers", layers.active, layers.all),
        ):
            yield timed(quantity_of(what, published), part, reference, active=share)
        yield timed(
            quantity_of("whole model", published),
            sparse(whole, detect),
            dense(whole, detect),
            active=leave(published.share, whole, inputs.images, features, case),
            published=published.ratio,
        )


def quantity_of(what: str, published: Published) -> str:
    """The name of what is measured at a threshold."""
    return f"{what} at {published.threshold:g}, {published.share:.1%} active / all cells"


def build_ga_rpn(name: str, case: Case) -> tuple[GuidedAnchorRPN, HeadInputs]:
    """The GA-RPN of a config at test, its anchors as varied as trained ones, and maps for it.

    Raises:
        ValueError: if there is no such config, or its proposal generator is no GA-RPN with a
            location branch.
    """
    config = model_zoo.get_config(name)
    head = build_head(config, case).eval()
    if not isinstance(head, GuidedAnchorRPN) or head.location_loss is None:
        raise ValueError(f"{name} has no GA-RPN with a location branch to measure.")
    inputs = head_inputs(case, channels_of(config, name), head.in_features)
    spread_branches(head, lambda: run_head(head, inputs, case))
    return head, inputs


def build_model(name: str, case: Case) -> tuple[GuidedAnchorRPN, Part, Mapping[str, Tensor]]:
    """The GA-RPN of a whole model, a call of that model on random images, and their maps."""
    run = zoo_detector(name, random_images(case), case)
    run.model.to(memory_format=case.memory_format)
    detect = inference(run, case)
    backbone = cast(torch.nn.Module, run.model.backbone)
    return (
        cast(GuidedAnchorRPN, run.model.proposal_generator),
        detect,
        outputs_of(backbone, detect)[0],
    )


@torch.no_grad()
def leave(
    share: float,
    head: GuidedAnchorRPN,
    images: ImageList,
    features: Mapping[str, Tensor],
    case: Case,
) -> float:
    """Set the threshold so that a share of the cells, from 0 to 1 and one at least, is active.

    Returns:
        The share that is; more than asked for where probabilities are equal.
    """
    with case.autocast():
        probability = head.trace(images, features).probability.flatten()
    count = max(1, round(share * len(probability)))
    head.location_threshold = probability.topk(count).values[-1].item()
    return (probability >= head.location_threshold).float().mean().item()


def sparse(head: GuidedAnchorRPN, run: Part) -> Part:
    """The run with the active cells of the head alone."""
    return _switched(head, run, True)


def dense(head: GuidedAnchorRPN, run: Part) -> Part:
    """The run with all cells of the head."""
    return _switched(head, run, False)


def _switched(head: GuidedAnchorRPN, run: Part, sparse: bool) -> Part:
    def switched() -> object:
        head.sparse = sparse
        return run()

    return switched


class MaskedLayers:
    """The layers of a head that can leave out cells: feature adaption and predictor.

    Args:
        head: its threshold says which cells are active.
        inputs: the maps.
        case: on what.
    """

    @torch.no_grad()
    def __init__(self, head: GuidedAnchorRPN, inputs: HeadInputs, case: Case):
        self.head, self.case = head.head, case
        with case.autocast():
            anchors = head.trace(inputs.images, inputs.features)
            self.grids, self.mask = anchors.grids, anchors.active
            maps = [inputs.features[name] for name in head.in_features]
            # As the generator hands them on.
            self.guide = self.head([x.contiguous(memory_format=torch.channels_last) for x in maps])

    @torch.no_grad()
    def active(self) -> tuple[Tensor, Tensor]:
        """Deltas (M, A, 4) and logits (M, A) of the M active cells."""
        with self.case.autocast():
            return self.head.predict_at(self.guide, ActiveCells(self.mask, self.grids))

    @torch.no_grad()
    def all(self) -> tuple[Tensor, Tensor]:
        """Deltas (N, R, 4) and logits (N, R)."""
        with self.case.autocast():
            prediction = self.head.predict(self.guide)
        assert prediction.logits is not None  # the head's predictor has objectness
        return prediction.deltas, prediction.logits

    def agreement(self, share: float) -> Row:
        """How far the results of the active cells are from those of all: the larger of the
        differences of deltas and of logits, in parts per million of the largest of either."""
        cells = ActiveCells(self.mask, self.grids)
        differences = []
        for found, everywhere in zip(self.active(), self.all(), strict=True):
            expected = everywhere.reshape(self.mask.numel(), *found.shape[1:])[cells.index]
            differences.append((found - expected).abs().max() / expected.abs().max())
        value, allowed = 1e6 * max(differences).item(), 1e6 * ROUNDING[self.case.dtype]
        return Row(
            MODE,
            ACTIVE_AGREE,
            self.case,
            ratio=value / allowed,
            value=value,
            reference=allowed,
            unit="ppm",
            active=share,
            target=limit_of(MODE, ACTIVE_AGREE, self.case, ""),
        )
