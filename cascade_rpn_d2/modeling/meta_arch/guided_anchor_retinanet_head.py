"""The head of GA-RetinaNet: where anchors are, which shape they have, and what is in them.

Shape shorthand: ``N`` images, ``K`` classes, ``Hi, Wi`` cells of level i, ``S`` cells an image, one
anchor each, ``M`` active cells of the batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..guided_anchors import ActiveCells, flatten_cells, location_conv
from ..initialize import initialize
from ..refinement import Prediction


@dataclass(frozen=True)
class Towers:
    """What both towers have computed of a batch, and what the branches on them say.

    Attributes:
        cls_maps: one (N, C, Hi, Wi) map a level, to classify by.
        box_maps: one (N, C, Hi, Wi) map a level, to regress by.
        location: (N, S) logits that there is an object's centre in a cell.
        shapes: one (N, 2, Hi, Wi) map a level, width and height of the anchors.
    """

    cls_maps: list[Tensor]
    box_maps: list[Tensor]
    location: Tensor
    shapes: list[Tensor]


class GuidedAnchorRetinaNetHead(nn.Module):
    """RetinaNet's two towers, each with a branch that guides anchors, and one anchor a cell.

    As in the released code, the location is read off the tower that classifies and the shape off
    the one that regresses. The features of both are adapted to the shape before the last layers.

    Args:
        in_channels: C, channels of the maps.
        num_classes: K.
        cls_adaption: adapts the features to classify by, see
            :mod:`cascade_rpn_d2.modeling.feature_adaption`.
        box_adaption: adapts the features to regress by.
        num_convs: convolutions of a tower.
        class_prior: probability of every class that the head starts with.
        location_prior: probability of an object's centre that it starts with.
    """

    def __init__(
        self,
        in_channels: int,
        *,
        num_classes: int,
        cls_adaption: nn.Module,
        box_adaption: nn.Module,
        num_convs: int = 4,
        class_prior: float = 0.01,
        location_prior: float = 0.01,
    ):
        super().__init__()
        self.num_classes = num_classes
        self.cls_tower = _tower(in_channels, num_convs)
        self.box_tower = _tower(in_channels, num_convs)
        self.location = location_conv(in_channels, location_prior)
        self.shape = nn.Conv2d(in_channels, 2, 1)
        initialize(self.shape)
        self.cls_adaption = cls_adaption
        self.box_adaption = box_adaption
        self.class_logits = nn.Conv2d(in_channels, num_classes, 3, padding=1)
        initialize(self.class_logits, class_prior)
        self.deltas = nn.Conv2d(in_channels, 4, 3, padding=1)
        initialize(self.deltas)

    def forward(self, maps: Sequence[Tensor]) -> Towers:
        """Where anchors are and their shapes, from L maps (N, C, Hi, Wi)."""
        # The order in which sampled convolutions read; on CPUs the others gain by it too.
        maps = [x.contiguous(memory_format=torch.channels_last) for x in maps]
        cls_maps = [self.cls_tower(x) for x in maps]
        box_maps = [self.box_tower(x) for x in maps]
        location = flatten_cells([self.location(x) for x in cls_maps]).squeeze(-1)
        return Towers(cls_maps, box_maps, location, [self.shape(x) for x in box_maps])

    def predict(self, towers: Towers) -> Prediction:
        """Deltas (N, S, 4) and logits (N, S, K) of all anchors."""
        cls_maps, box_maps = self._adapt(towers, None)
        logits = flatten_cells([self.class_logits(x) for x in cls_maps])
        return Prediction(flatten_cells([self.deltas(x) for x in box_maps]), logits)

    def predict_at(self, towers: Towers, cells: ActiveCells) -> tuple[Tensor, Tensor]:
        """The same at the active cells alone, at a cost in proportion to their number.

        The last layers look one cell around them, so features are adapted there too.

        Returns:
            Deltas (M, 4) and logits (M, K).
        """
        cls_maps, box_maps = self._adapt(towers, cells.neighborhood_masks())
        logits = _convolve(self.class_logits, cells.neighborhoods(cls_maps))
        return _convolve(self.deltas, cells.neighborhoods(box_maps)), logits

    def _adapt(
        self, towers: Towers, masks: Sequence[Tensor] | None
    ) -> tuple[list[Tensor], list[Tensor]]:
        """For either tower one (N, C, Hi, Wi) map a level, zero outside of the masks."""
        cls_maps, box_maps = [], []
        for level, shape in enumerate(towers.shapes):
            mask = None if masks is None else masks[level]
            cls_maps.append(F.relu_(self.cls_adaption(towers.cls_maps[level], shape, mask)))
            box_maps.append(F.relu_(self.box_adaption(towers.box_maps[level], shape, mask)))
        return cls_maps, box_maps


def _tower(channels: int, num_convs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for _ in range(num_convs):
        conv = nn.Conv2d(channels, channels, 3, padding=1)
        initialize(conv)
        layers += [conv, nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


def _convolve(conv: nn.Conv2d, neighborhoods: Tensor) -> Tensor:
    """What a 3x3 convolution makes of the 3x3 cells (M, 3*3*C) around M others, (M, O)."""
    weight = conv.weight.permute(0, 2, 3, 1).flatten(1)  # (O, C, 3, 3) -> (O, 3*3*C)
    return F.linear(neighborhoods, weight, conv.bias)
