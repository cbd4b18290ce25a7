"""Models to convert for, without memory: their names, shapes and geometry are what is tested."""

from __future__ import annotations

import functools

import torch
from omegaconf import DictConfig
from torch import nn

from cascade_rpn_d2 import model_zoo
from cascade_rpn_d2.config import use_authors_recipe
from cascade_rpn_d2.model_zoo import instantiate_model

# Of detectors that are trained longer: a config in our coordinates and one in the authors'.
_LONGER = {
    "grid_rcnn": ("grid_rcnn_r50_fpn_2x.py", "authors/grid_rcnn_plus_r50_fpn_2x.py"),
    "cpm_rcnn": ("cpm_rcnn_r50_fpn_2x.py", "authors/cpm_rcnn_r50_fpn_2x.py"),
}


def config_of(name: str, *, authors: bool = False) -> DictConfig:
    """The config of the zoo with R-50 and this name, such as ``"cascade_rpn_faster_rcnn"``.

    Args:
        name: of the method.
        authors: by the authors' recipe, with their geometry. So the zoo has Cascade RPN, Grid R-CNN
            Plus and CPM R-CNN.
    """
    if name in _LONGER:
        return model_zoo.get_config(f"{name}/{_LONGER[name][authors]}")
    file = f"{name}_r50_fpn_1x.py"
    if authors and f"cascade_rpn/authors/{file}" in model_zoo.list_configs():
        return model_zoo.get_config(f"cascade_rpn/authors/{file}")
    folder = "guided_anchoring" if name.startswith(("ga_", "retinanet")) else "cascade_rpn"
    config = model_zoo.get_config(f"{folder}/{file}")
    if authors:
        use_authors_recipe(config.model, config.lr_multiplier)
    return config


@functools.cache
def model_of(name: str, *, authors: bool = False) -> nn.Module:
    """The model of :func:`config_of` on the meta device."""
    with torch.device("meta"):
        return instantiate_model(config_of(name, authors=authors))
