"""Table 4, centre (AR 52.5 / 59.4 / 64.1): taps follow the box's centre, not its shape."""

from detectron2.config import LazyCall as L

from cascade_rpn_d2.modeling import AdaptiveAlignment

from .cascade_r50_fpn_1x import dataloader, lr_multiplier, model, optimizer, train

# The offsets of stage 1 are of shape alone, so it stays the plain convolution that it was.
_, _second = model.proposal_generator.stages
_second.align = L(AdaptiveAlignment)(in_channels=256, out_channels=256, center_only=True)
train.output_dir = "output/cascade_rpn/ablations/align_center_r50_fpn_1x"
