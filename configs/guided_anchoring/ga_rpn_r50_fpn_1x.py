"""GA-RPN, R-50 FPN, 1x: Table 1 (AR 59.2 / 65.2 / 68.5 on val2017)."""

from ..cascade_rpn.rpn_r50_fpn_1x import dataloader, lr_multiplier, optimizer, train
from ..common.models.ga_rpn_fpn import model

train.output_dir = "output/guided_anchoring/ga_rpn_r50_fpn_1x"
