"""Scales and aspect ratios of objects, guided anchors and sliding-window anchors (Guided
Anchoring, Figure 6)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from detectron2.config import instantiate
from detectron2.modeling.anchor_generator import DefaultAnchorGenerator
from omegaconf import DictConfig, OmegaConf
from tabulate import tabulate
from torch import Tensor
from tqdm import tqdm

from ..visualization import Density
from .generators import trace_anchors
from .labelled_images import objects_of, read_record
from .log_histogram import LogHistogram
from .model_choices import ModelChoice
from .output_files import write_json
from .predictor import BatchPredictor
from .regression_targets import resized_objects

OBJECTS, GUIDED, SLIDING = "ground truth", "guided anchors", "sliding window"
SCALE, RATIO = "scale", "aspect ratio"
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_BINS_PER_OCTAVE = 4
# Of the values of every group, the share on either side that the axis does not show.
_HIDDEN = 0.0025


@dataclass(frozen=True)
class Shapes:
    """The distribution of the shapes of boxes.

    Args:
        scale: of sqrt(width * height), in pixels of the image as the model sees it.
        ratio: of height / width.
    """

    scale: LogHistogram = field(default_factory=LogHistogram)
    ratio: LogHistogram = field(default_factory=LogHistogram)

    def add(self, boxes: Tensor, times: npt.ArrayLike = 1) -> None:
        """Count boxes (n, 4) XYXY, each as often as ``times`` (n,) says; those without area not."""
        width, height = (boxes[:, 2:] - boxes[:, :2]).double().numpy().T
        some = (width > 0) & (height > 0)
        width, height = width[some], height[some]
        times = np.broadcast_to(times, some.shape)[some]
        self.scale.add(np.sqrt(width * height), times)
        self.ratio.add(height / width, times)

    def of(self, quantity: str) -> LogHistogram:
        """The histogram of ``SCALE`` or of ``RATIO``."""
        return {SCALE: self.scale, RATIO: self.ratio}[quantity]


@dataclass(frozen=True)
class ShapeComparison:
    """What guided anchors are compared with.

    Args:
        images: how many were looked at.
        groups: ``OBJECTS``, ``GUIDED`` and ``SLIDING`` -> their shapes.
    """

    images: int
    groups: Mapping[str, Shapes]


def sliding_window(
    config: DictConfig, aspect_ratios: Sequence[float] | None = None
) -> DefaultAnchorGenerator:
    """The anchors of a config, whose model need not be built.

    Args:
        config: a training config.
        aspect_ratios: what to have instead of its own, such as those of an RPN with its squares.

    Raises:
        ValueError: if the config has none of Detectron2's ``DefaultAnchorGenerator``.
    """
    for key in ("model.proposal_generator.anchor_generator", "model.anchor_generator"):
        node = OmegaConf.select(config, key)
        if node is not None and aspect_ratios is not None:
            node = OmegaConf.merge(node, {"aspect_ratios": list(aspect_ratios)})
        generator = None if node is None else instantiate(node)
        if isinstance(generator, DefaultAnchorGenerator):
            return generator
    raise ValueError(
        "The config of the sliding window has no DefaultAnchorGenerator: give one such as "
        "guided_anchoring/rpn_r50_fpn_1x.py."
    )


def measure_shapes(
    predictor: BatchPredictor,
    window: DefaultAnchorGenerator,
    records: Sequence[dict[str, Any]],
) -> ShapeComparison:
    """The shapes of objects and anchors on images of a dataset, all scaled as for the model.

    Of the guided anchors those of the active cells count, as predicted; of the sliding window all.

    Args:
        predictor: with a model of guided anchors.
        window: the anchors of a baseline, in pixels of the scaled image.
        records: Detectron2's dicts of the images, with ``annotations``.

    Raises:
        ValueError: if the model has no guided anchors, or there is no object or no active cell.
        OSError: if an image cannot be read.
    """
    objects, guided, sliding = Shapes(), Shapes(), Shapes()
    cells = np.zeros(len(window.strides), np.int64)
    for record in tqdm(records, unit="image", disable=None):
        image = read_record(record, predictor.reader)
        objects.add(resized_objects(objects_of(record), predictor.preprocess(image)))
        trace = trace_anchors(predictor, image)
        guided.add(trace.anchors[trace.active].flatten(0, 1))
        cells += [_cells(trace.padded_size, stride) for stride in window.strides]
    for anchors, times in zip(window.cell_anchors, cells, strict=True):
        sliding.add(anchors, times)
    if not objects.scale.total:
        raise ValueError(
            f"None of the {len(records)} images has an object: give a dataset with annotations."
        )
    if not guided.scale.total:
        raise ValueError(
            f"No cell is active on the {len(records)} images: give a trained model, or a lower "
            "location_threshold."
        )
    return ShapeComparison(len(records), {OBJECTS: objects, GUIDED: guided, SLIDING: sliding})


def shape_densities(found: ShapeComparison) -> dict[str, dict[str, Density]]:
    """``SCALE`` and ``RATIO`` -> of every group the density over log2, as far as it is to be shown.

    All groups have the same bins, a quarter of an octave wide and centred on multiples of it.
    """
    panels = {}
    for quantity in (SCALE, RATIO):
        histograms = {name: group.of(quantity) for name, group in found.groups.items()}
        ends = [
            [math.log2(h.quantile(share)) for share in (_HIDDEN, 1 - _HIDDEN)]
            for h in histograms.values()
        ]
        first = round(min(low for low, _ in ends) * _BINS_PER_OCTAVE)
        last = round(max(high for _, high in ends) * _BINS_PER_OCTAVE)
        edges = (np.arange(first, last + 2) - 0.5) / _BINS_PER_OCTAVE
        panels[quantity] = {
            name: Density(edges, histogram.density(edges)) for name, histogram in histograms.items()
        }
    return panels


def shapes_table(found: ShapeComparison) -> str:
    """Numbers an image, quantiles and distances to the objects; a row per quantity and group."""
    rows = []
    for quantity, header in ((SCALE, "scale √(w·h), pixels"), (RATIO, "aspect ratio h/w")):
        truth = found.groups[OBJECTS].of(quantity)
        for name, group in found.groups.items():
            histogram = group.of(quantity)
            low, median, high = (histogram.quantile(share) for share in (0.05, 0.5, 0.95))
            rows.append(
                [
                    header if name == OBJECTS else "",
                    name,
                    f"{histogram.total / found.images:.1f}",
                    *(f"{value:.3g}" for value in (low, median, high)),
                    "" if name == OBJECTS else f"{histogram.distance(truth):.2f}",
                ]
            )
    headers = ["", "boxes", "an image", "5 %", "median", "95 %", "octaves to ground truth"]
    align = ("left", "left", *["right"] * 5)
    return tabulate(rows, headers, tablefmt="github", disable_numparse=True, colalign=align)


def write_shapes(
    path: Path, dataset: str, model: ModelChoice, baseline: str, found: ShapeComparison
) -> None:
    """Write quantiles, distances and densities as json.

    Args:
        path: of the file; its folder exists.
        dataset: name of the dataset.
        model: whose guided anchors were measured.
        baseline: what the sliding window is of.
        found: what was measured.

    Raises:
        OSError: if the file cannot be written.
    """
    densities = shape_densities(found)
    content: dict[str, Any] = {
        "dataset": dataset,
        "images": found.images,
        "model": model.description(),
        "sliding_window": baseline,
    }
    for quantity in (SCALE, RATIO):
        truth = found.groups[OBJECTS].of(quantity)
        content[quantity] = {
            name: {
                "count": group.of(quantity).total,
                "quantiles": {f"{q:g}": group.of(quantity).quantile(q) for q in QUANTILES},
                "octaves_to_ground_truth": group.of(quantity).distance(truth),
                "log2_edges": densities[quantity][name].edges.tolist(),
                "density": densities[quantity][name].values.tolist(),
            }
            for name, group in found.groups.items()
        }
    write_json(path, content)


def _cells(size: tuple[int, int], stride: int) -> int:
    """Cells of a level on an image of that height and width, padding included."""
    return math.prod(math.ceil(side / stride) for side in size)
