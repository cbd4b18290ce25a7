"""Table 3, + Statistics (AR 60.8 / 67.3 / 71.5): deltas in deviations of their stage.

With the IoU loss this is Cascade RPN, the last row.
"""

from .afab_r50_fpn_1x import dataloader, lr_multiplier, model, optimizer, train

_first, _second = model.proposal_generator.stages
_first.box_coder.stds = [0.1, 0.1, 0.5, 0.5]
_second.box_coder.stds = [0.05, 0.05, 0.1, 0.1]
train.output_dir = "output/cascade_rpn/ablations/stats_r50_fpn_1x"
