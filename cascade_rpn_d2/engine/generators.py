"""The proposal generator inside any model, seen at work on one image.

Models of proposals only and detectors are treated alike: both have a backbone, and a generator that
reads its maps.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from detectron2.modeling.postprocessing import detector_postprocess
from detectron2.structures import ImageList, Instances
from torch import Tensor, nn
from tqdm import tqdm

from ..evaluation import ProposalsOfDetector
from ..modeling import CascadeRPN, Grid
from ..modeling.guided_anchors import GuidedAnchors
from ..modeling.proposal_generator import StageStep
from .labelled_images import read_record
from .predictor import BatchPredictor


@dataclass(frozen=True)
class Trace:
    """A cascade at work on one image.

    Args:
        generator: the cascade.
        grids: the L levels.
        steps: every stage, with tensors of one image, in pixels of the image as the model sees it.
        to_image: factors (x, y) from those pixels to pixels of the image that was given.
    """

    generator: CascadeRPN
    grids: list[Grid]
    steps: list[StageStep]
    to_image: tuple[float, float]


@dataclass(frozen=True)
class AnchorTrace:
    """The guided anchors of one image.

    Args:
        grids: the L levels.
        anchors: (S, A, 4) XYXY of all cells, level by level, in pixels of the image as the model
            sees it, not clipped.
        probability: (S,) that there is an object's centre in a cell.
        active: (S,) bool, the cells whose anchors take part.
        offset: where in a cell its centre is, in cells: 0 for the upper left corner.
        padded_size: height and width in those pixels, padding included.
        to_image: factors (x, y) from those pixels to pixels of the image that was given.
    """

    grids: list[Grid]
    anchors: Tensor
    probability: Tensor
    active: Tensor
    offset: float
    padded_size: tuple[int, int]
    to_image: tuple[float, float]


def generator_of(model: nn.Module) -> nn.Module:
    """The proposal generator of a model of proposals only or of a detector.

    Raises:
        ValueError: if there is none that reads a backbone's maps.
    """
    generator = getattr(model, "proposal_generator", None)
    if not isinstance(generator, nn.Module) or not hasattr(model, "backbone"):
        raise ValueError(
            f"{type(model).__name__} makes no proposals: give a config whose model has a "
            "proposal_generator."
        )
    return generator


def proposals_only(predictor: BatchPredictor) -> BatchPredictor:
    """A predictor of proposals, whether the model makes them only or detects with them.

    Raises:
        ValueError: if the model makes no proposals.
    """
    generator_of(predictor.model)
    if not hasattr(predictor.model, "roi_heads"):
        return predictor
    return BatchPredictor(
        ProposalsOfDetector(predictor.model),
        image_format=predictor.image_format,
        resize=predictor.resize,
        reader=predictor.reader,
    )


def run_proposals(
    predictor: BatchPredictor, records: Sequence[dict[str, Any]], *, batch_size: int = 4
) -> Iterator[tuple[dict[str, Any], Instances]]:
    """The proposals of the images of a dataset, one at a time, with a bar that shows how far it is.

    Args:
        predictor: with a model of proposals only, or a detector.
        records: Detectron2's dicts of the images.
        batch_size: images that are read at once.

    Yields:
        A record, and its ``proposal_boxes`` in pixels of the image with ``objectness_logits``.

    Raises:
        ValueError: if the model makes no proposals.
        OSError: if an image cannot be read.
    """
    propose = proposals_only(predictor)
    iterator = iter(records)
    with tqdm(total=len(records), unit="image", disable=None) as bar:
        while batch := list(islice(iterator, batch_size)):
            outputs = propose([read_record(record, predictor.reader) for record in batch])
            yield from zip(batch, (output["proposals"] for output in outputs), strict=True)
            bar.update(len(batch))


def read_maps(model: nn.Module, inputs: dict[str, Any]) -> tuple[ImageList, Mapping[str, Tensor]]:
    """The normalised image and the maps of the backbone, as the generator of a model gets them.

    Args:
        model: as of :func:`generator_of`.
        inputs: of one image, as the model takes it.
    """
    network: Any = model
    if hasattr(network, "preprocess_image"):
        images = network.preprocess_image([inputs])
    else:  # Detectron2's ProposalNetwork does this in the middle of its forward
        pixels = inputs["image"].to(network.pixel_mean.device)
        images = ImageList.from_tensors(
            [(pixels - network.pixel_mean) / network.pixel_std],
            network.backbone.size_divisibility,
            padding_constraints=network.backbone.padding_constraints,
        )
    return images, network.backbone(images.tensor)


@torch.no_grad()
def propose_by_stage(predictor: BatchPredictor, image: npt.NDArray[np.uint8]) -> dict[str, Tensor]:
    """Proposals of an image: one entry ``""``, or ``"stage 1"``, ``"stage 2"``, ... for a cascade.

    Args:
        predictor: with a model of proposals only, or a detector.
        image: (H, W, 3) uint8 in BGR order.

    Returns:
        Boxes (n, 4) by the name of the stage, XYXY in pixels of the image, best first.

    Raises:
        ValueError: if the model makes no proposals.
    """
    generator = generator_of(predictor.model)
    inputs = predictor.preprocess(image)
    images, maps = read_maps(predictor.model, inputs)
    if isinstance(generator, CascadeRPN):
        stages = generator.propose_by_stage(images, maps)
        found = {f"stage {number}": stage[0] for number, stage in enumerate(stages, start=1)}
    else:
        found = {"": generator(images, maps, None)[0][0]}
    return {
        name: detector_postprocess(proposals, inputs["height"], inputs["width"])
        .proposal_boxes.tensor.cpu()
        for name, proposals in found.items()
    }  # fmt: skip


@torch.no_grad()
def trace(predictor: BatchPredictor, image: npt.NDArray[np.uint8]) -> Trace:
    """A cascade at work on an image.

    Args:
        predictor: with a model whose generator is a cascade.
        image: (H, W, 3) uint8 in BGR order.

    Raises:
        ValueError: if the generator has no stages.
    """
    generator = generator_of(predictor.model)
    if not isinstance(generator, CascadeRPN):
        raise ValueError(
            f"{type(generator).__name__} has no stages: give a config whose proposal_generator is "
            "a CascadeRPN."
        )
    inputs = predictor.preprocess(image)
    images, maps = read_maps(predictor.model, inputs)
    grids, steps = generator.trace(images, maps)
    height, width = images.image_sizes[0]
    return Trace(generator, grids, steps, (inputs["width"] / width, inputs["height"] / height))


@torch.no_grad()
def trace_anchors(predictor: BatchPredictor, image: npt.NDArray[np.uint8]) -> AnchorTrace:
    """Where a model has anchors on an image, and their shapes.

    Args:
        predictor: with a model of guided anchors; see :func:`anchor_guide_of`.
        image: (H, W, 3) uint8 in BGR order.

    Raises:
        ValueError: if the model has no guided anchors, or anchors that are not finite.
    """
    guide = anchor_guide_of(predictor.model)
    inputs = predictor.preprocess(image)
    images, maps = read_maps(predictor.model, inputs)
    found: GuidedAnchors = guide.trace(images, maps)
    active = found.active[0].cpu()
    anchors = found.anchors[0].cpu().unflatten(0, (len(active), -1))
    if not anchors.isfinite().all():
        raise ValueError("The anchors are not finite: the model has diverged, give other weights.")
    height, width = images.image_sizes[0]
    padded_height, padded_width = images.tensor.shape[-2:]
    return AnchorTrace(
        found.grids,
        anchors,
        found.probability[0].cpu(),
        active,
        float(guide.anchor_generator.offset),
        (padded_height, padded_width),
        (inputs["width"] / width, inputs["height"] / height),
    )


def anchor_guide_of(model: nn.Module) -> Any:
    """The part of a model that has guided anchors: its proposal generator, or the whole model.

    It is known by its ``location_threshold``; besides it has an ``anchor_generator`` and
    ``trace(images, features) -> GuidedAnchors``.

    Raises:
        ValueError: if there is none.
    """
    for part in (getattr(model, "proposal_generator", None), model):
        if hasattr(part, "location_threshold"):
            return part
    generator = getattr(model, "proposal_generator", None)
    raise ValueError(
        f"{type(model if generator is None else generator).__name__} has no guided anchors: give a "
        "config such as guided_anchoring/ga_rpn_r50_fpn_1x.py."
    )
