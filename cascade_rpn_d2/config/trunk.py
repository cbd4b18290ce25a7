"""From the pre-trained trunk of an experiment, a ResNet-50 in our configs, to another."""

from __future__ import annotations

from omegaconf import DictConfig


def use_trunk(
    trunk: DictConfig, model: DictConfig, dataloader: DictConfig, train: DictConfig
) -> None:
    """Change an experiment in place to another trunk, with its weights and images as it takes them.

    What stands on the trunk stays: its maps have as many channels in all ResNets and ResNeXts of 50
    layers and more. An experiment is then a few lines::

        from cascade_rpn_d2.config import use_trunk

        from ..common.trunks.resnext101_64x4d import trunk as _trunk
        from .rpn_r50_fpn_1x import dataloader, lr_multiplier, model, optimizer, train

        use_trunk(_trunk, model, dataloader, train)
        train.output_dir = "output/guided_anchoring/rpn_x101_64x4d_fpn_1x"

    Args:
        trunk: from ``configs/common/trunks``: ``bottom_up``, ``pixel_mean``, ``pixel_std``,
            ``image_format`` and ``init_checkpoint``.
        model: with the FPN of a ResNet as its ``backbone``; the maps that the FPN reads stay.
        dataloader: of the experiment, its mapper for tests following that for training.
        train: of the experiment.
    """
    out_features = model.backbone.bottom_up.out_features
    model.backbone.bottom_up = trunk.bottom_up
    model.backbone.bottom_up.out_features = out_features
    model.pixel_mean = trunk.pixel_mean
    model.pixel_std = trunk.pixel_std
    dataloader.train.mapper.image_format = trunk.image_format
    train.init_checkpoint = trunk.init_checkpoint
