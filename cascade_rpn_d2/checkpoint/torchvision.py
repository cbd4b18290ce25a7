"""torchvision's ImageNet classifiers as they are published -> the names of our detectors.

ResNets for Detectron2's ResNet, VGG-16 for ours.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from ..modeling.backbone.vgg import CONVOLUTIONS

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


def is_torchvision_vgg(state: Mapping[str, object]) -> bool:
    """Whether these are the weights of a torchvision VGG, of any depth, with norms or without."""
    return {"features.0.weight", "classifier.0.weight", "classifier.3.weight"} <= state.keys()


def is_torchvision_vgg16(state: Mapping[str, object]) -> bool:
    """Whether these are the weights of torchvision's VGG-16 without norms."""
    found = {_layer(name) for name in state if name.startswith("features.")}
    return is_torchvision_vgg(state) and found == set(_VGG16_CONVOLUTIONS)


def convert_torchvision_vgg16(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of torchvision's VGG-16 under our names, values unchanged.

    The model must take RGB images with torchvision's mean and deviation (times 255). The last layer
    of the classifier is left out, and so are layers whose values are missing: only those of the
    convolutions are there in torchvision's ``IMAGENET1K_FEATURES``.

    Args:
        state: names and values as torchvision publishes them.

    Returns:
        ``conv1.conv1_1.*`` to ``conv5.conv5_3.*``, as the backbone ``VGG16`` has them, and
        ``box_head.fc1.*`` and ``box_head.fc2.*``, as the head ``VGGBoxHead`` has them in a model.
    """
    renamed = _VGG16_CONVOLUTIONS | _VGG16_CLASSIFIER
    missing = {_layer(name) for name, value in state.items() if not value.isfinite().all()}
    return {
        f"{renamed[_layer(name)]}.{name.rpartition('.')[2]}": value
        for name, value in state.items()
        if _layer(name) in renamed.keys() - missing
    }


def _layer(name: str) -> str:
    return name.rpartition(".")[0]


def _vgg16_convolutions() -> dict[str, str]:
    """torchvision's names, which count every module, -> ours."""
    names, index = {}, 0
    for block, count in enumerate(CONVOLUTIONS, start=1):
        for number in range(1, count + 1):
            names[f"features.{index}"] = f"conv{block}.conv{block}_{number}"
            index += 2  # the convolution and its ReLU
        index += 1  # the pooling
    return names


_VGG16_CONVOLUTIONS = _vgg16_convolutions()
_VGG16_CLASSIFIER = {"classifier.0": "box_head.fc1", "classifier.3": "box_head.fc2"}
