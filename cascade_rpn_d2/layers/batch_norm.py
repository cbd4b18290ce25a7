"""Batch norm that learns its scale and shift but leaves the statistics of pre-training alone."""

from __future__ import annotations

from torch import nn


class FixedStatisticsBatchNorm2d(nn.BatchNorm2d):
    """Batch norm with trained ``weight`` and ``bias``, and statistics that nothing updates.

    A detector sees two images a device: too few for statistics of their own, while scale and shift
    can well be trained. This is how mmdet trains its "pytorch" style ResNets (``norm_eval=True``),
    and with them the Cascade R-CNN of Cascade RPN's Table 7. Detectron2's ``"FrozenBN"`` fixes
    scale and shift too, its ``"BN"`` nothing. Give the class itself as ``norm=`` of a backbone::

        L(ResNet.make_default_stages)(depth=50, norm=FixedStatisticsBatchNorm2d)

    It always normalises (N, C, H, W) by ``running_mean`` and ``running_var``: to its own mode,
    ``train()`` makes no difference. Its state dict has these two, ``weight`` and ``bias``, as that
    of ``"FrozenBN"`` has, and no count of batches.

    Args:
        num_features: C, channels of the input.
        eps: added to the variance.
    """

    def __init__(self, num_features: int, eps: float = 1e-5) -> None:
        super().__init__(num_features, eps=eps)
        # Set only now, for without tracking BatchNorm2d would not make the statistics at all.
        self.track_running_stats = False
        self.num_batches_tracked = None
        self.eval()

    def train(self, mode: bool = True) -> FixedStatisticsBatchNorm2d:
        """Stay in evaluation mode, where batch norm takes the stored statistics."""
        return super().train(False)
