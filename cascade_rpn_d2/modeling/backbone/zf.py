"""The convolutions of the fast ZF net, on which Faster R-CNN runs at 17 images a second."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from detectron2.config import CfgNode
from detectron2.layers import Conv2d, ShapeSpec
from detectron2.modeling.backbone import BACKBONE_REGISTRY
from torch import Tensor, nn

from .sequence import SequentialBackbone

# Of each layer: side of the kernel, stride, and whether norm and pooling follow before the next.
# models/pascal_voc/ZF of py-faster-rcnn.
_LAYERS = ((7, 2, True), (5, 2, True), (3, 1, False), (3, 1, False), (3, 1, False))
_STRIDES = (2, 8, 16, 16, 16)


class ZF(SequentialBackbone):
    """The five convolutions of the fast ZF net (Zeiler and Fergus): 256 channels, stride 16.

    Each is followed by a ReLU, the first two also by a :class:`WithinChannelNorm` and a 3x3 max
    pooling of stride 2. As in Faster R-CNN, that of the last layer is left out. Layers have the
    names of the released model, ``conv1`` to ``conv5``. Their outputs, before norm and pooling,
    have the strides 2, 8, 16, 16, 16.

    Weights start from N(0, 0.01), as those of AlexNet, of which the net is a variant, and all new
    layers of Faster R-CNN (section 3.1.3): it is meant for pixels of 0 to 255 less their mean.

    Args:
        in_channels: channels of the images.
        widths: channels of the five layers.
        out_features: layers whose outputs are returned; those after the last are not built.
        freeze_at: this many layers are not trained, the first ones. Faster R-CNN trains all
            (section 3.1.3).

    Raises:
        ValueError: as :class:`.SequentialBackbone`, whose parts the layers are.
    """

    def __init__(
        self,
        *,
        in_channels: int = 3,
        widths: Sequence[int] = (96, 256, 384, 384, 256),
        out_features: Sequence[str] = ("conv5",),
        freeze_at: int = 0,
    ):
        super().__init__(
            widths=widths, strides=_STRIDES, out_features=out_features, freeze_at=freeze_at
        )
        self.norm = WithinChannelNorm()
        # Rounds down, as in torchvision; in Caffe it rounds up, to a cell more.
        self.pool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        for index, name in enumerate(self.built):
            kernel, stride, _ = _LAYERS[index]
            conv = Conv2d(
                in_channels,
                widths[index],
                kernel_size=kernel,
                stride=stride,
                padding=kernel // 2,
                activation=nn.ReLU(inplace=True),
            )
            nn.init.normal_(conv.weight, std=0.01)
            nn.init.zeros_(conv.bias)
            conv.requires_grad_(index >= freeze_at)
            self.add_module(name, conv)
            in_channels = widths[index]

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Maps of the layers in ``out_features`` for images (N, C, H, W).

        Returns:
            Name -> (N, width, H / stride, W / stride).
        """
        outputs = {}
        for name, (_, _, pooled) in zip(self.built, _LAYERS, strict=False):
            x = getattr(self, name)(x)
            if name in self._out_features:
                outputs[name] = x
            if pooled and name != self.built[-1]:
                x = self.pool(self.norm(x))
        return outputs


class WithinChannelNorm(nn.Module):
    """Caffe's local response normalisation within channels.

    Every value becomes ``x * (1 + alpha * mean) ** -beta``, where the mean is that of the squares
    in the square of ``size`` cells around it, in its own channel; cells beyond the map are zeros.
    (torch's and AlexNet's goes across channels.)

    Args:
        size: side of the square, odd.
        alpha: weight of the mean; the ZF net's is small, for maps of images of 0 to 255.
        beta: exponent.
    """

    def __init__(self, size: int = 3, alpha: float = 5e-5, beta: float = 0.75) -> None:
        super().__init__()
        self.size, self.alpha, self.beta = size, alpha, beta

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        squares = x.float().square()  # of float16 they would overflow
        mean = F.avg_pool2d(squares, self.size, stride=1, padding=self.size // 2)
        return x * (1 + self.alpha * mean).pow(-self.beta).to(x.dtype)

    def extra_repr(self) -> str:
        """The arguments."""
        return f"size={self.size}, alpha={self.alpha}, beta={self.beta}"


@BACKBONE_REGISTRY.register()
def build_zf_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> ZF:
    """The :class:`ZF` of a config with the keys of ``add_cascade_rpn_config``.

    Args:
        cfg: read are ``MODEL.ZF.OUT_FEATURES`` and ``MODEL.BACKBONE.FREEZE_AT``.
        input_shape: of the images.
    """
    return ZF(
        in_channels=input_shape.channels,
        out_features=cfg.MODEL.ZF.OUT_FEATURES,
        freeze_at=cfg.MODEL.BACKBONE.FREEZE_AT,
    )
