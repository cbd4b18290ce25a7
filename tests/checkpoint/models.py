"""Models to convert for, without memory: their names, shapes and geometry are what is tested."""

from __future__ import annotations

import functools

import torch
from detectron2.modeling.roi_heads import CascadeROIHeads
from omegaconf import DictConfig
from torch import nn

from cascade_rpn_d2 import model_zoo
from cascade_rpn_d2.model_zoo import instantiate_model


def config_of(name: str, *, authors: bool = False) -> DictConfig:
    """A config of the zoo, or with ``fast``, ``faster`` or ``cascade`` the detector of that name.

    Args:
        name: ``"cascade_rpn"``, ``"rpn"``, ``"<generator>/fast"``, ``"<generator>/faster"``,
            ``"cascade_rpn/cascade"``.
        authors: with the geometry of the authors' code.
    """
    generator, _, detector = name.partition("/")
    # Names of files: the baseline is named after its detector alone.
    stem = "faster_rcnn" if detector else ""
    stem = f"cascade_rpn_{stem}" if generator == "cascade_rpn" and stem else stem or generator
    config = model_zoo.get_config(f"cascade_rpn/{stem}_r50_fpn_1x.py")
    if detector == "fast":
        config.model.proposal_generator = None
    elif detector == "cascade":
        _make_cascade(config.model.roi_heads)
    if authors:
        _make_authors(config.model)
    return config


@functools.cache
def model_of(name: str, *, authors: bool = False) -> nn.Module:
    """The model of :func:`config_of` on the meta device."""
    with torch.device("meta"):
        return instantiate_model(config_of(name, authors=authors))


def _make_cascade(heads: DictConfig) -> None:
    heads["_target_"] = CascadeROIHeads
    heads.box_predictor.cls_agnostic_bbox_reg = True
    heads.box_heads = [heads.pop("box_head")] * 3
    predictor, matcher = heads.pop("box_predictor"), heads.pop("proposal_matcher")
    predictor.num_classes = 80
    heads.box_predictors, heads.proposal_matchers = [predictor] * 3, [matcher] * 3


def _make_authors(model: DictConfig) -> None:
    generator = model.proposal_generator
    if generator is not None:
        generator.anchor_generator.offset = 0.5
        for stage in generator.get("stages", [])[1:]:
            stage.align.center_offset = 0.5
    if "roi_heads" in model:
        model.roi_heads.box_pooler.pooler_type = "ROIAlign"
        model.roi_heads.box_pooler.sampling_ratio = 2
