"""torchvision's ImageNet ResNets as they are published -> the names of Detectron2's ResNet."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

# torchvision's name -> Detectron2's; a stage's number grows by one, as the stem is its first.
_RENAMED = (
    (re.compile(r"^conv1\."), "stem.conv1."),
    (re.compile(r"^bn1\."), "stem.conv1.norm."),
    (re.compile(r"^layer(\d)\."), lambda match: f"res{int(match[1]) + 1}."),
    (re.compile(r"\.bn(\d)\."), r".conv\1.norm."),
    (re.compile(r"\.downsample\.0\."), ".shortcut."),
    (re.compile(r"\.downsample\.1\."), ".shortcut.norm."),
)


def is_torchvision_resnet(state: Mapping[str, object]) -> bool:
    """Whether these are the weights of a torchvision ResNet."""
    return {"conv1.weight", "bn1.weight", "layer1.0.conv1.weight"} <= state.keys()


def convert_torchvision_resnet(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of a torchvision ResNet under Detectron2's names, values unchanged.

    The model must take RGB images with torchvision's mean and deviation (times 255), and have its
    strides in the 3x3 convolutions (``stride_in_1x1=False``). The classifier ``fc`` is left out,
    and so are the counters of batches, which frozen norms do not have.

    Args:
        state: names and values as torchvision publishes them.

    Returns:
        ``stem.*`` and ``res2.*`` to ``res5.*``.
    """
    converted = {}
    for name, value in state.items():
        if name.startswith("fc.") or name.endswith("num_batches_tracked"):
            continue
        for pattern, replacement in _RENAMED:
            name = pattern.sub(replacement, name)
        converted[name] = value
    return converted
