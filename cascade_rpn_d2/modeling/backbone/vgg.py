"""The convolutions of VGG-16, on which the original Faster R-CNN is built."""

from __future__ import annotations

from collections.abc import Sequence

import fvcore.nn.weight_init as weight_init
from detectron2.config import CfgNode
from detectron2.layers import Conv2d, ShapeSpec
from detectron2.modeling.backbone import BACKBONE_REGISTRY
from torch import Tensor, nn

from .sequence import SequentialBackbone

# Convolutions of every block (Simonyan and Zisserman, configuration D).
CONVOLUTIONS = (2, 2, 3, 3, 3)


class VGG16(SequentialBackbone):
    """VGG-16 up to its last convolution: a map of 512 channels and stride 16.

    Thirteen 3x3 convolutions, each followed by a ReLU, in five blocks with a 2x2 max pooling
    between them. The one that VGG-16 has after the last block is left out, as in Faster R-CNN,
    which pools regions instead. Layers have the names of the released models: ``conv1_1`` to
    ``conv5_3`` in the blocks ``conv1`` to ``conv5``, whose outputs have the strides 1, 2, 4, 8, 16.

    Args:
        in_channels: channels of the images.
        widths: channels of the five blocks.
        out_features: blocks whose outputs are returned; those after the last of them are not built.
        freeze_at: this many blocks are not trained, the first ones. Faster R-CNN trains conv3_1 and
            up (section 3.1.3).

    Raises:
        ValueError: as :class:`.SequentialBackbone`, whose parts the blocks are.
    """

    def __init__(
        self,
        *,
        in_channels: int = 3,
        widths: Sequence[int] = (64, 128, 256, 512, 512),
        out_features: Sequence[str] = ("conv5",),
        freeze_at: int = 2,
    ):
        super().__init__(
            widths=widths,
            strides=[2**index for index in range(len(CONVOLUTIONS))],
            out_features=out_features,
            freeze_at=freeze_at,
        )
        for number, name in enumerate(self.built, start=1):
            block = _block(number, in_channels, widths[number - 1])
            block.requires_grad_(number > freeze_at)
            self.add_module(name, block)
            in_channels = widths[number - 1]

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Maps of the blocks in ``out_features`` for images (N, C, H, W).

        Returns:
            Name -> (N, width, H // stride, W // stride).
        """
        outputs = {}
        for name, block in self.named_children():
            x = block(x)
            if name in self._out_features:
                outputs[name] = x
        return outputs


def _block(number: int, in_channels: int, width: int) -> nn.Sequential:
    """Block ``number`` from 1, with the pooling before it."""
    block = nn.Sequential()
    if number > 1:
        block.add_module(f"pool{number - 1}", nn.MaxPool2d(kernel_size=2))
    for index in range(1, CONVOLUTIONS[number - 1] + 1):
        conv = Conv2d(
            in_channels, width, kernel_size=3, padding=1, activation=nn.ReLU(inplace=True)
        )
        weight_init.c2_msra_fill(conv)
        block.add_module(f"conv{number}_{index}", conv)
        in_channels = width
    return block


@BACKBONE_REGISTRY.register()
def build_vgg16_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> VGG16:
    """The :class:`VGG16` of a config with the keys of ``add_cascade_rpn_config``.

    Args:
        cfg: read are ``MODEL.VGG.OUT_FEATURES`` and ``MODEL.BACKBONE.FREEZE_AT``.
        input_shape: of the images.
    """
    return VGG16(
        in_channels=input_shape.channels,
        out_features=cfg.MODEL.VGG.OUT_FEATURES,
        freeze_at=cfg.MODEL.BACKBONE.FREEZE_AT,
    )
