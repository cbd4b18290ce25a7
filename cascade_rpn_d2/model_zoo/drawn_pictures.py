"""What a location branch says of the pictures of the demo dataset, which need no download."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from omegaconf import DictConfig
from torch import Tensor, nn

from ..checkpoint.location_polarity import LocationStatistics, measure_locations
from ..data.demo import VAL, scene
from .input_format import InputFormat

NUM_PICTURES = 16


def measure_on_drawn_pictures(
    config: DictConfig,
) -> Callable[[nn.Module], LocationStatistics | None]:
    """A measurement for :func:`.convert_checkpoint`, of objects in drawings.

    A branch that was trained on photographs need not see objects in drawings, so that nothing may
    come of it.

    Args:
        config: says which order of channels its model takes.
    """

    def samples() -> Iterator[tuple[Tensor, Tensor]]:
        rgb = InputFormat.from_config(config).image_format == "RGB"
        for number in range(1, NUM_PICTURES + 1):
            picture, objects = scene(VAL, number)
            image = torch.from_numpy(picture[:, :, ::-1].copy() if rgb else picture)
            boxes = torch.tensor([x.box for x in objects], dtype=torch.float32)  # XYWH
            boxes[:, 2:] += boxes[:, :2]
            yield image.permute(2, 0, 1).float(), boxes

    source = f"on {NUM_PICTURES} drawn pictures"
    return lambda model: measure_locations(model, samples(), source)
