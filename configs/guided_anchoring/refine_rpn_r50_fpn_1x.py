"""RefineRPN, R-50 FPN, 1x: Table 1 (AR 50.2 / 56.3 / 60.6 on val2017).

As in RefineDet, boxes are regressed and classified before the FPN, and once more after it.
"""

from cascade_rpn_d2.modeling import FPNWithInputs

from .rpn_iterative_r50_fpn_1x import dataloader, lr_multiplier, model, optimizer, train

# Open: how the maps before the FPN come to one width and to a fifth level, for which RefineDet has
# heads of their own instead; and whether, as there, the second stage does not learn from boxes that
# the first is sure to be background.
model.backbone._target_ = FPNWithInputs
_generator = model.proposal_generator
_generator.in_features = ["c2", "c3", "c4", "c5", "c6"]
_first, _second = _generator.stages
_first.bridge = False
_second.in_features = ["p2", "p3", "p4", "p5", "p6"]
train.output_dir = "output/guided_anchoring/refine_rpn_r50_fpn_1x"
