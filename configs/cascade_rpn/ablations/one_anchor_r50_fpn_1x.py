"""Table 3, + 1 anchor (AR 44.7 / 51.2 / 55.8): RPN with square anchors only."""

from .baseline_r50_fpn_1x import dataloader, lr_multiplier, model, optimizer, train

_generator = model.proposal_generator
_generator.anchor_generator.aspect_ratios = [1.0]
_generator.stages[0].predictor.num_anchors = 1
train.output_dir = "output/cascade_rpn/ablations/one_anchor_r50_fpn_1x"
