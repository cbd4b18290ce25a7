"""What boxes are pooled from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor


def maps_to_pool(features: Mapping[str, Tensor], names: Sequence[str]) -> list[Tensor]:
    """The maps with ``names``, in float32 inside autocast.

    Detectron2's pooler rounds boxes to the dtype of the maps: beyond 1024 pixels to whole ones in
    float16, to every eighth in bfloat16. RoIAlign computes in float32 inside autocast anyway.
    """
    maps = [features[name] for name in names]
    if torch.is_autocast_enabled(maps[0].device.type):
        return [x.float() for x in maps]
    return maps
