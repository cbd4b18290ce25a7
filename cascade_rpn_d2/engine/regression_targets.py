"""What the stages of a generator have to regress: the distribution of their targets (Cascade RPN,
Figure 1a), and its means and standard deviations, the *regression statistics* of a dataset."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from detectron2.structures import Boxes, ImageList
from omegaconf import DictConfig
from tabulate import tabulate
from torch import Tensor
from tqdm import tqdm

from ..modeling import BoxCoder, CascadeRPN, GroundTruth, Refinement, Stage, StandardRPN
from ..modeling.anchors import pyramid_anchors
from ..modeling.assignment import POSITIVE
from ..modeling.ground_truth import Grid, valid_cells
from .generators import generator_of, read_maps
from .labelled_images import objects_of, read_record
from .model_choices import ModelChoice
from .predictor import BatchPredictor

DELTAS = ("dx", "dy", "dw", "dh")


@dataclass(frozen=True)
class StageTargets:
    """The targets of all positive boxes of a stage.

    Args:
        deltas: (n, 4), (dx, dy, dw, dh) from the boxes that the stage is given to their objects, in
            units of the box (Cascade RPN, equation 1); not divided by any statistics.
        stds: the standard deviations that the config states for the stage.
    """

    deltas: Tensor
    stds: tuple[float, ...]

    @property
    def means(self) -> list[float]:
        """Mean of each delta; NaN without a positive box."""
        return self.deltas.double().mean(dim=0).tolist()

    @property
    def measured_stds(self) -> list[float]:
        """Standard deviation of each delta; NaN without a positive box."""
        return self.deltas.double().std(dim=0, unbiased=False).tolist()


def load_for_targets(
    model: ModelChoice, device: str | None = None, *, first_stage_only: bool = False
) -> BatchPredictor:
    """The predictor of a model, with weights where the targets depend on them.

    What the first stage is given are the anchors, whatever the weights; so neither an RPN nor the
    first stage of a cascade needs any.

    Args:
        model: config and weights.
        device: where to run; a GPU if there is one by default.
        first_stage_only: whether only the first stage will be looked at.

    Raises:
        ValueError, OSError: if the config or the weights cannot be used.
    """
    if not first_stage_only:
        first_stage_only = _count_stages(model.config()) == 1
    return model.load(device, trained=not first_stage_only)


def measure_targets(
    predictor: BatchPredictor,
    records: Sequence[dict[str, Any]],
    *,
    first_stage_only: bool = False,
) -> dict[str, StageTargets]:
    """The targets of every stage on images of a dataset.

    Args:
        predictor: of a model whose generator is a cascade or a ``StandardRPN``.
        records: Detectron2's dicts of the images, with ``annotations``.
        first_stage_only: leave the later stages out.

    Returns:
        ``"stage 1"``, ``"stage 2"``, ... of a cascade, ``"RPN"`` of an RPN -> its targets.

    Raises:
        ValueError: if the generator is another one, or no image has an object.
        OSError: if an image cannot be read.
    """
    labelled = [record for record in records if len(objects_of(record))]
    if not labelled:
        raise ValueError(
            f"None of the {len(records)} images has an object: there are no targets to measure. "
            "Give a dataset with annotations."
        )
    parts: dict[str, list[Tensor]] = {}
    for record in tqdm(labelled, unit="image", disable=None):
        inputs = predictor.preprocess(read_record(record, predictor.reader))
        objects = resized_objects(objects_of(record), inputs)
        found = regression_targets(predictor, inputs, objects, first_stage_only)
        for name, deltas in found.items():
            parts.setdefault(name, []).append(deltas.cpu())
    stds = _stated_stds(predictor)
    return {name: StageTargets(torch.cat(parts[name]), stds[name]) for name in parts}


@torch.no_grad()
def regression_targets(
    predictor: BatchPredictor,
    inputs: dict[str, Any],
    objects: Tensor,
    first_stage_only: bool = False,
) -> dict[str, Tensor]:
    """The targets of every stage on one image.

    Every stage's own assigner says which boxes are positive; all of them count, also those that the
    stage's sampler would leave out.

    Args:
        predictor: as of :func:`measure_targets`.
        inputs: of the image, as the predictor's ``preprocess`` makes them.
        objects: (g, 4) XYXY in pixels of ``inputs["image"]``.
        first_stage_only: leave the later stages out.

    Returns:
        Deltas (n, 4) by the name of the stage, in units of the box that they start from.

    Raises:
        ValueError: if the generator is neither a cascade nor an RPN.
    """
    generator = generator_of(predictor.model)
    images, maps = read_maps(predictor.model, inputs)
    objects = objects.to(images.device)
    if isinstance(generator, CascadeRPN):
        return _cascade_targets(generator, images, maps, objects, first_stage_only)
    if isinstance(generator, StandardRPN):
        return {"RPN": _rpn_targets(generator, images, maps, objects)}
    raise ValueError(
        f"The targets of {type(generator).__name__} cannot be measured: give a config whose "
        "proposal_generator is a CascadeRPN or a StandardRPN."
    )


def targets_table(targets: Mapping[str, StageTargets]) -> str:
    """Numbers of positive boxes, means and standard deviations, a row per stage and delta."""
    rows = []
    for name, stage in targets.items():
        for index, delta in enumerate(DELTAS):
            first = index == 0
            rows.append(
                [
                    name if first else "",
                    len(stage.deltas) if first else "",
                    delta,
                    f"{stage.means[index]:+.4f}",
                    f"{stage.measured_stds[index]:.4f}",
                    f"{stage.stds[index]:g}",
                ]
            )
    headers = ["stage", "positive boxes", "delta", "mean", "std", "std in the config"]
    return tabulate(rows, headers, tablefmt="github", disable_numparse=True, colalign=_ALIGN)


def resized_objects(objects: Tensor, inputs: dict[str, Any]) -> Tensor:
    """Objects (g, 4) of an image -> in pixels as the model sees it, as training has them.

    They are cut at the border of the image; what is left without area is left out.

    Args:
        objects: XYXY in pixels of the original image.
        inputs: of the image, as the predictor's ``preprocess`` makes them.
    """
    height, width = inputs["image"].shape[-2:]
    x, y = width / inputs["width"], height / inputs["height"]
    boxes = Boxes(objects * objects.new_tensor([x, y, x, y]))
    boxes.clip((height, width))
    return boxes.tensor[boxes.nonempty(threshold=_EMPTY)]


# Side in pixels up to which a box has no area, as detectron2.data.detection_utils has it.
_EMPTY = 1e-5
_ALIGN = ("left", "right", "left", "right", "right", "right")


def _cascade_targets(
    generator: CascadeRPN,
    images: ImageList,
    maps: Mapping[str, Tensor],
    objects: Tensor,
    first_stage_only: bool,
) -> dict[str, Tensor]:
    grids, steps = generator.trace(images, maps)
    return {
        f"stage {number}": _targets_of(
            step.stage, step.state.boxes, grids, images, objects, generator.size_divisibility
        )
        for number, step in enumerate(steps[:1] if first_stage_only else steps, start=1)
    }


def _rpn_targets(
    generator: StandardRPN, images: ImageList, maps: Mapping[str, Tensor], objects: Tensor
) -> Tensor:
    features = [maps[name] for name in generator.in_features]
    anchors = pyramid_anchors(generator.anchor_generator, features)[None]
    grids = generator.grids(features)
    return _targets_of(
        generator.refinement, anchors, grids, images, objects, generator.size_divisibility
    )


def _targets_of(
    refinement: Refinement,
    boxes: Tensor,
    grids: Sequence[Grid],
    images: ImageList,
    objects: Tensor,
    size_divisibility: int,
) -> Tensor:
    """Deltas (n, 4) of the positive of the ``boxes`` (1, R, 4) of an image."""
    truth = GroundTruth(objects[None], objects.new_ones((1, len(objects)), dtype=torch.bool))
    sizes = torch.tensor(images.image_sizes, device=objects.device)
    num_anchors = boxes.shape[1] // sum(grid.cells for grid in grids)
    valid = valid_cells(grids, sizes, num_anchors, size_divisibility)
    assignment = refinement.assign(boxes, truth, grids, valid, sizes)
    positive = assignment.labels == POSITIVE
    return BoxCoder().encode(boxes[positive], truth.of(assignment.matched)[positive])


def _stated_stds(predictor: BatchPredictor) -> dict[str, tuple[float, ...]]:
    generator: Any = generator_of(predictor.model)
    if isinstance(generator, CascadeRPN):
        stages = cast(Iterable[Stage], generator.stages)
        return {f"stage {n}": stage.box_coder.stds for n, stage in enumerate(stages, start=1)}
    return {"RPN": generator.refinement.box_coder.stds}


def _count_stages(config: DictConfig) -> int:
    generator = config.model.get("proposal_generator") if "model" in config else None
    stages = generator.get("stages") if generator is not None else None
    return len(stages) if stages is not None else 1
