"""Which way round the location branch of Guided Anchoring was trained.

It is to predict where objects have their centres. mmdet >= 2.0 trains it with labels exchanged:
its probability is one where there is none. Such a branch costs no recall, as nearly every cell
reaches the threshold, but nothing is sparse. Negating weight and bias of its convolution turns it
round, as ``sigmoid(-x) = 1 - sigmoid(x)``.

Only what the branch says of images with known objects tells the two apart. The bias, which starts
at -4.6, does not: the branch reads maps of many channels, all positive, and nearly all that it
learns goes into its weights. After 300 iterations on the demo dataset the bias is -4.53 with the
right labels and -4.54 with exchanged ones, while the mean probability is 0.45 in the middle of
objects and 0.10 outside with the former, 0.38 and 0.84 with the latter.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from detectron2.structures import Boxes, ImageList, Instances
from torch import Tensor, nn

from ..modeling.assignment import NEGATIVE, POSITIVE
from ..modeling.ground_truth import GroundTruth

PolarityChoice = Literal["auto", "keep", "flip"]

# A branch is turned round only if it says "centre" of most places that are none, and less so of
# those that are. To keep one that should be turned costs time at test; to turn one that should be
# kept costs the proposals.
_LEAST_OUTSIDE = 0.5
_LEAST_CONTRAST = 0.1
_LEAST_ACTIVE = 0.9
# How many times as probable centres must be for a branch to be called right.
_LEAST_RATIO = 1.5


@dataclass(frozen=True)
class LocationStatistics:
    """What a location branch says of images whose objects are known.

    Args:
        inside: mean probability in the centre regions of the objects.
        outside: mean probability in the cells that are to be negative.
        active: share of all cells whose probability reaches the threshold (the paper has 0.29 at
            0.01 on COCO; exchanged labels lead to about 1).
        source: which images, as in "on 50 images of coco_2017_val".
    """

    inside: float
    outside: float
    active: float
    source: str


@dataclass(frozen=True)
class PolarityDecision:
    """What to do about a location branch.

    Args:
        flip: whether weight and bias are to be negated.
        reason: a sentence or two for the user.
    """

    flip: bool
    reason: str


def decide_polarity(
    statistics: LocationStatistics | None, choice: PolarityChoice = "auto"
) -> PolarityDecision:
    """Whether a location branch has to be turned round.

    Args:
        statistics: what it says of images; without, nothing is turned round.
        choice: ``"keep"`` and ``"flip"`` need no reason.

    Raises:
        ValueError: if the choice is another one.
    """
    if choice not in get_args(PolarityChoice):
        raise ValueError(f"The location polarity is 'auto', 'keep' or 'flip', not {choice!r}.")
    if choice != "auto":
        done = {"keep": "kept as it is", "flip": "turned round"}[choice]
        return PolarityDecision(choice == "flip", f"Its location branch is {done}, as you asked.")
    if statistics is None:
        return PolarityDecision(False, _unknown("no objects were looked at"))
    x = statistics
    seen = f"a mean probability of {x.inside:.2f} in the middle of objects and {x.outside:.2f} "
    seen += f"outside, {x.active:.0%} of the cells active, {x.source}"
    inverted = x.outside >= _LEAST_OUTSIDE and x.outside - x.inside >= _LEAST_CONTRAST
    if inverted and x.active >= _LEAST_ACTIVE:
        return PolarityDecision(
            True,
            f"Its location branch predicts where objects are not ({seen}), as mmdet >= 2.0 trains "
            "it: it is turned round, its weight and bias negated. Choose its threshold anew, as "
            "its probabilities are others.",
        )
    if x.outside < _LEAST_OUTSIDE and x.inside >= _LEAST_RATIO * x.outside:
        return PolarityDecision(
            False, f"Its location branch predicts where objects are ({seen}): it is kept as it is."
        )
    return PolarityDecision(False, _unknown(seen))


@torch.no_grad()
def measure_locations(
    model: nn.Module, samples: Iterable[tuple[Tensor, Tensor]], source: str
) -> LocationStatistics | None:
    """What the location branch of a model says of images.

    Args:
        model: a model with guided anchors, which is put into evaluation mode.
        samples: images (3, H, W) as the model takes them, with their objects (g, 4) in pixels.
        source: which images these are.

    Returns:
        None if there is nothing to compare, no object or nothing but objects.
    """
    network: Any = model.eval()
    inside, outside, active = [], [], []
    for image, objects in samples:
        pixels = (image.to(network.pixel_mean.device) - network.pixel_mean) / network.pixel_std
        images = ImageList.from_tensors([pixels], network.backbone.size_divisibility)
        probability, labels, threshold = _look(network, images, objects)
        inside.append(probability[labels == POSITIVE])
        outside.append(probability[labels == NEGATIVE])
        active.append((probability >= threshold).float())
    if not sum(map(len, inside)) or not sum(map(len, outside)):
        return None
    return LocationStatistics(
        inside=torch.cat(inside).mean().item(),
        outside=torch.cat(outside).mean().item(),
        active=torch.cat(active).mean().item(),
        source=source,
    )


def turned_round(state: Mapping[str, Tensor], names: Iterable[str]) -> dict[str, Tensor]:
    """A state dict with the weights of these names negated."""
    chosen = set(names)
    return {name: -value if name in chosen else value for name, value in state.items()}


def _look(network: Any, images: ImageList, objects: Tensor) -> tuple[Tensor, Tensor, float]:
    """Probability (S,) of the cells of one image, their labels (S,), and the threshold."""
    guide = getattr(network, "proposal_generator", network)  # GA-RetinaNet guides its own anchors
    seen = guide.trace(images, network.backbone(images.tensor))
    truth = Instances(images.image_sizes[0])
    truth.gt_boxes = Boxes(objects.to(seen.probability.device))
    assigned = guide.location_loss.assigner.assign_cells(
        GroundTruth.from_instances([truth]), seen.grids
    )
    return seen.probability[0], assigned.labels[0], guide.location_threshold


def _unknown(why: str) -> str:
    return (
        "Whether its location branch was trained with exchanged labels, as mmdet >= 2.0 does, "
        f"cannot be told ({why}): it is kept as it is, at worst without being sparse. Other "
        "images, of the kind that it was trained on, may tell: give them to "
        "`cascade-rpn convert` as --data images_dir:annotations.json."
    )
