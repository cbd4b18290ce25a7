"""RPN, R-50 FPN, 1x: the baseline of Tables 1 and 4 (AR 47.5 / 54.7 / 59.4 on val2017).

It is that of Cascade RPN's tables, whose authors have other numbers for it.
"""

from ..cascade_rpn.rpn_r50_fpn_1x import dataloader, lr_multiplier, model, optimizer, train

train.output_dir = "output/guided_anchoring/rpn_r50_fpn_1x"
