"""Images per second of whole detectors, from a batch of images to boxes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import PurePath
from typing import Any

import torch
import torchvision
from torch import Tensor, nn

from .. import model_zoo
from ..modeling import CascadeRPN, GuidedAnchorRPN
from .case import Case
from .heads import outputs_of, scale_outputs, spread_branches, spread_first_stage
from .row import Row, timed_row
from .timing import Budget, Part, time_pairs

MODE = "end-to-end"
DETECTORS = (
    "cascade_rpn/rpn_r50_fpn_1x.py",
    "cascade_rpn/cascade_rpn_r50_fpn_1x.py",
    "cascade_rpn/faster_rcnn_r50_fpn_1x.py",
    "cascade_rpn/cascade_rpn_faster_rcnn_r50_fpn_1x.py",
)
TORCHVISION = "torchvision's fasterrcnn_resnet50_fpn"
# All detectors here take the score from which Detectron2 counts a detection, or one with a lower
# score would suppress duplicates among more boxes.
MIN_SCORE = 0.05
# Spread of the logits of a classifier: most proposals get one class or two that they may be.
LOGIT_STD = 4.0


def end_to_end_rows(
    case: Case, budget: Budget, detectors: Sequence[str] = DETECTORS
) -> Iterator[Row]:
    """Times every detector, and torchvision's, against the first.

    Args:
        case: on what; layout and boxes make no difference.
        budget: how often.
        detectors: configs by name or path; the first is the baseline.

    Yields:
        A row a detector: the ratio is one of times, value and reference are images per second. The
        first is the baseline against itself, which shows how far to trust the others.
    """
    case = replace(case, layout=None, boxes=None)
    images = random_images(case)
    parts = {label(name): inference(zoo_detector(name, images, case), case) for name in detectors}
    baseline, reference = next(iter(parts.items()))
    parts[TORCHVISION] = inference(torchvision_detector(images, case), case)
    for name, part in parts.items():
        times = time_pairs([part], [reference], device=case.torch_device, budget=budget).total()
        yield timed_row(
            MODE,
            f"time of {name} / time of {baseline}",
            case,
            times,
            value=1e3 * case.batch / times.time_ms,
            reference=1e3 * case.batch / times.reference_ms,
            unit="images/s",
        )


def label(name: str) -> str:
    """A short name of a config, such as ``"rpn_r50_fpn_1x"``."""
    return PurePath(name).stem


def random_images(case: Case) -> Tensor:
    """Noise, (N, 3, H, W) of 0 to 255, float32, on the device of the case."""
    generator = torch.Generator().manual_seed(0)
    shape = (case.batch, 3, *case.image_size)
    return (255 * torch.rand(shape, generator=generator)).to(case.torch_device)


class Inference:
    """A Detectron2 model on a batch of images (N, 3, H, W) of 0 to 255."""

    def __init__(self, model: nn.Module, images: Tensor):
        height, width = images.shape[-2:]
        self.model = model
        self.batch = [{"image": x, "height": height, "width": width} for x in images]

    def __call__(self) -> object:
        return self.model(self.batch)


def zoo_detector(name: str, images: Tensor, case: Case) -> Inference:
    """A detector of the zoo, its random weights made to act like trained ones on the images.

    Raises:
        ValueError: if there is no such config.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = model_zoo.get(name, device=case.torch_device)
    run = Inference(model, images)
    settle_norms(model, run)
    generator = getattr(model, "proposal_generator", None)
    if isinstance(generator, CascadeRPN) and len(generator.stages) > 1:
        spread_first_stage(generator, run)
    if isinstance(generator, GuidedAnchorRPN):
        spread_branches(generator, run)
    heads: Any = getattr(model, "roi_heads", None)
    if heads is not None:
        heads.box_predictor.test_score_thresh = MIN_SCORE
        if hasattr(heads.box_predictor, "cls_score"):
            spread_scores(heads.box_predictor.cls_score, run)
    return run


def torchvision_detector(images: Tensor, case: Case) -> Part:
    """torchvision's Faster R-CNN, which takes 1000 proposals, at the size that the images have."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = torchvision.models.detection.fasterrcnn_resnet50_fpn(
            weights=None,
            weights_backbone=None,
            min_size=min(case.image_size),
            max_size=max(case.image_size),
            box_score_thresh=MIN_SCORE,
        )
    model.to(case.torch_device).eval()
    pictures = list(images / 255)

    def run() -> object:
        return model(pictures)

    settle_norms(model, run)
    return run


@torch.no_grad()
def settle_norms(model: nn.Module, run: Part) -> None:
    """Gives the frozen normalisations the statistics of the maps that they meet in one run.

    Those of a new model change nothing, and the maps of a deep network with random weights would
    grow to sizes that no trained network knows, and their boxes with them.

    Args:
        model: in evaluation mode; its layers with running statistics are changed.
        run: calls the model.
    """

    def settle(layer: Any, inputs: tuple[Tensor, ...]) -> None:
        var, mean = torch.var_mean(inputs[0].float(), dim=(0, 2, 3), correction=0)
        layer.running_mean.copy_(mean)
        layer.running_var.copy_(var)

    layers = [m for m in model.modules() if getattr(m, "running_mean", None) is not None]
    hooks = [layer.register_forward_pre_hook(settle) for layer in layers]
    try:
        run()
    finally:
        for hook in hooks:
            hook.remove()


def spread_scores(classifier: nn.Linear, run: Part) -> None:
    """Makes a classifier with random weights tell classes apart.

    New ones give all classes about the same score, too low for a detection: nothing would be left
    to suppress, and to refine where boxes are refined.

    Args:
        classifier: the last layer, whose outputs are logits; its weights are changed.
        run: calls the model.
    """
    logits = torch.cat(outputs_of(classifier, run))  # (R, K + 1)
    scale_outputs(classifier, logits.t(), [LOGIT_STD] * logits.shape[1])


def inference(run: Part, case: Case) -> Part:
    """The run without gradients, in the precision of the case."""

    def without_gradients() -> object:
        with torch.no_grad(), case.autocast():
            return run()

    return without_gradients
