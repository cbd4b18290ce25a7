"""Table 3, + Alignment (AR 57.4 / 63.7 / 67.8): the adaptive convolution.

Also "centre and shape" of Table 4, and AB of Table 5: the anchor-based metric in both stages.
"""

from detectron2.config import LazyCall as L

from cascade_rpn_d2.modeling import AdaptiveAlignment

from .cascade_r50_fpn_1x import dataloader, lr_multiplier, model, optimizer, train

_first, _second = model.proposal_generator.stages
_first.align.dilation = 3  # what the released code has in place of the adaptive convolution
_second.align = L(AdaptiveAlignment)(in_channels=256, out_channels=256)
train.output_dir = "output/cascade_rpn/ablations/align_r50_fpn_1x"
