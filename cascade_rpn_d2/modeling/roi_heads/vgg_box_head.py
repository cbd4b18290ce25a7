"""The fully connected layers of VGG-16 as a head on pooled features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch.nn.functional as F
from detectron2.config import CfgNode, configurable
from detectron2.layers import ShapeSpec
from detectron2.modeling.roi_heads import ROI_BOX_HEAD_REGISTRY, FastRCNNConvFCHead
from torch import Tensor


@ROI_BOX_HEAD_REGISTRY.register()
class VGGBoxHead(FastRCNNConvFCHead):
    """Fully connected layers, each followed by a ReLU and, while training, by dropout.

    With two layers of 4096 on (512, 7, 7) features these are fc6 and fc7 of VGG-16, which Fast
    R-CNN fine-tunes with the dropout of VGG-16. The layers are named ``fc1``, ``fc2``, ... and read
    the features channel by channel, as in Detectron2's head, which has no dropout, and as in
    torchvision's VGG-16.

    Args:
        input_shape: channels, height and width of the pooled features.
        fc_dims: widths of the layers.
        dropout: share of the values that are dropped.

    Raises:
        ValueError: if there is no layer, or ``dropout`` is not in [0, 1).
    """

    @configurable
    def __init__(
        self,
        input_shape: ShapeSpec,
        *,
        fc_dims: Sequence[int] = (4096, 4096),
        dropout: float = 0.5,
    ):
        if not fc_dims:
            raise ValueError("VGGBoxHead needs a layer at least: give fc_dims its width.")
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout is a share of the values, 0 <= dropout < 1, not {dropout}.")
        super().__init__(input_shape, conv_dims=[], fc_dims=list(fc_dims))
        self.dropout = dropout

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: ShapeSpec) -> dict[str, Any]:
        """Arguments of ``__init__`` from a config with the keys of ``add_cascade_rpn_config``.

        Read are ``MODEL.ROI_BOX_HEAD.NUM_FC``, ``FC_DIM`` and ``DROPOUT``.
        """
        node = cfg.MODEL.ROI_BOX_HEAD
        return {
            "input_shape": input_shape,
            "fc_dims": [node.FC_DIM] * node.NUM_FC,
            "dropout": node.DROPOUT,
        }

    def forward(self, x: Tensor) -> Tensor:
        """Pooled features (R, C, Hp, Wp) -> (R, width of the last layer)."""
        x = x.flatten(1)
        for layer in self.fcs:
            x = F.dropout(F.relu(layer(x), inplace=True), self.dropout, self.training)
        return x
