"""An experiment made small enough for two CPU cores: what differs between rows stays, all else is
that of a small baseline."""

from __future__ import annotations

import math
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from ..config.lazy import is_of
from ..modeling import FPNWithInputs

# Channels of the FPN, of fully connected layers, of a grid point and of nine of them, as the papers
# have them -> small ones. The last are the fully connected layers of VGG-16 and of the ZF net.
WIDTHS = {256: 64, 1024: 256, 64: 16, 576: 144, 4096: 256}
# That the small schedule stands for.
IMAGES_1X = 87_960 * 16
# Sides of a small image by those of one of COCO: 256 px for 800.
IMAGE_SCALE = 256 / 800
# The same of Faster R-CNN's own images, whose backbones have one map.
_IMAGE_SCALE_OF_ONE_MAP = 256 / 600
_WIDTH_KEYS = (
    "in_channels",
    "out_channels",
    "channels",
    "conv_dim",
    "conv_dims",
    "fc_dim",
    "fc_dims",
    "point_channels",
)


def shrink(config: DictConfig, base: DictConfig) -> None:
    """Give an experiment the backbone, data, optimizer and schedule of a small one, in place.

    What an experiment is about (stages, alignment, metrics, losses, heads, numbers of samples)
    stays; of grid heads, which are dear to compute, what is the same in all rows becomes less. Its
    layers become as narrow as the small FPN, its anchors as small as those of ``base`` and all that
    is measured in anchors with them, and no more proposals are kept than there. The small schedule
    stands for 1x and all that is longer. Of VGG-16 and the ZF net, which have one map and no FPN,
    an eighth of the channels stays, trained from random weights.

    Args:
        config: an experiment with a FPN of 256 channels, or with one map, of proposals or a
            detector in two stages or one.
        base: a small experiment of proposals, with a FPN of 64 channels.
    """
    model, small = config.model, base.model
    image_format = config.dataloader.train.mapper.image_format
    if _has_one_map(model):
        _narrow_backbone(model.backbone)
    else:
        image_format = base.dataloader.train.mapper.image_format
        _take_backbone(model, small.backbone)
        for key in ("pixel_mean", "pixel_std"):
            model[key] = small[key]
    for part in ("proposal_generator", "roi_heads", "head"):
        if model.get(part) is not None:
            _narrow(model[part])
    if model.get("proposal_generator") is not None:
        _shrink_generator(model.proposal_generator, small.proposal_generator)
    elif model.get("anchor_generator") is not None:
        _shrink_anchors(model, small.proposal_generator)
    if "grid_stages" in model.get("roi_heads", {}):
        _shrink_grid_heads(model.roi_heads)
    for name in ("box_pooler", "grid_pooler"):
        pooler = model.get("roi_heads", {}).get(name)
        if pooler is not None:
            # Which level an RoI is read from: as for COCO, relative to the anchors.
            pooler.canonical_box_size = 224 * _anchor_scale(small.proposal_generator) / 8
    if config.get("tta") is not None:
        config.tta.min_sizes = [round(side * IMAGE_SCALE) for side in config.tta.min_sizes]
        config.tta.max_size = round(config.tta.max_size * IMAGE_SCALE)
    images = config.train.max_iter * config.dataloader.train.total_batch_size
    share, schedule = min(1.0, images / IMAGES_1X), config.lr_multiplier
    _take_data(config.dataloader, base.dataloader)
    config.dataloader.train.mapper.image_format = image_format
    for key in ("optimizer", "lr_multiplier", "train"):
        config[key] = base[key]
    if share != 1:  # a fine-tuning, whose schedule is its own
        schedule.warmup_iters = round(share * base.lr_multiplier.warmup_iters)
        config.lr_multiplier = schedule
        config.train.max_iter = round(share * base.train.max_iter)


def _take_backbone(model: DictConfig, small: DictConfig) -> None:
    """The ``small`` backbone, with the levels that the one of the model has."""
    own = model.backbone
    model.backbone = small
    if is_of(own, "FPNWithInputs"):
        model.backbone._target_ = FPNWithInputs
    top_block = own.get("top_block")
    if top_block is not None and "in_channels" in top_block:
        # RetinaNet's, without the finest level and with convolutions that make the coarsest ones.
        trunk = model.backbone.bottom_up
        trunk.out_features = own.bottom_up.out_features
        top_block.in_channels = trunk.stages[-1].out_channels
        top_block.out_channels = small.out_channels
        model.backbone.top_block = top_block


def _has_one_map(model: DictConfig) -> bool:
    return is_of(model.backbone, "VGG16") or is_of(model.backbone, "ZF")


def _narrow_backbone(backbone: DictConfig) -> None:
    backbone.widths = [width // 8 for width in backbone.widths]
    backbone.freeze_at = 0


def _narrow(node: Any) -> None:
    """Replace widths below a node, in place."""
    if isinstance(node, DictConfig):
        for key in list(node):
            if OmegaConf.is_interpolation(node, key):
                continue
            value = node[key]
            if key in _WIDTH_KEYS and isinstance(value, int):
                node[key] = WIDTHS.get(value, value)
            elif key in _WIDTH_KEYS and isinstance(value, ListConfig):
                node[key] = [WIDTHS.get(width, width) for width in value]
            else:
                _narrow(value)
    elif isinstance(node, ListConfig):
        for value in node:
            _narrow(value)


def _shrink_generator(generator: DictConfig, small: DictConfig) -> None:
    factor = _shrink_anchors(generator, small)
    for key in ("pre_nms_topk", "post_nms_topk"):
        generator[key] = [
            min(own, most) for own, most in zip(generator[key], small[key], strict=True)
        ]
    if generator.get("min_original_size"):
        generator.min_original_size *= factor
    for stage in generator.get("stages") or ():
        if stage.align.get("dilation", 1) > 1:
            # Taps on the edges of the anchor, to the nearest cell.
            stage.align.dilation = max(1, round(stage.align.dilation * factor))


def _shrink_grid_heads(heads: DictConfig) -> None:
    """Half of the convolutions and a third of the boxes, without which a row would take most of an
    hour; and a start from which a short training gets somewhere: all maps empty."""
    for stage in heads.grid_stages:
        stage.head.num_convs = min(stage.head.num_convs, 4)
        stage.head.init = "plus"
    if heads.get("max_grid_rois_per_image") is not None:
        heads.max_grid_rois_per_image = math.ceil(heads.max_grid_rois_per_image / 3)


def _shrink_anchors(owner: DictConfig, small: DictConfig) -> float:
    """Make the finest anchors of ``owner`` as large as those of the ``small`` generator, and all
    others and what is measured in anchors by the same factor, which is returned. On one map they
    become as small as the images."""
    anchors = owner.anchor_generator
    factor = small.anchor_generator.sizes[0][0] / anchors.sizes[0][0]
    if len(anchors.strides) == 1:
        factor = _IMAGE_SCALE_OF_ONE_MAP
    anchors.sizes = [[size * factor for size in level] for level in anchors.sizes]
    for part in (owner.get("location_loss"), *(owner.get("stages") or ())):
        if part is not None and is_of(part.assigner, "RegionAssigner"):
            part.assigner.anchor_scale *= factor
    return factor


def _anchor_scale(generator: DictConfig) -> float:
    """Side of the anchors of a generator in strides."""
    anchors = generator.anchor_generator
    return anchors.sizes[0][0] / anchors.strides[0]


def _take_data(dataloader: DictConfig, small: DictConfig) -> None:
    """Datasets and how they are read, of ``small``; what proposals and evaluator are, as it was."""
    for part in ("train", "test"):
        ours, theirs = dataloader[part], small[part]
        ours.dataset.names = theirs.dataset.names
        ours.mapper.augmentations = theirs.mapper.augmentations
        ours.num_workers = theirs.num_workers
    dataloader.train.total_batch_size = small.train.total_batch_size
    dataloader.test.mapper.image_format = "${...train.mapper.image_format}"
