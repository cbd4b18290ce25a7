"""Iterative RPN+, R-50 FPN, 1x: Table 1 (AR 54.0 / 60.4 / 63.0 on val2017)."""

from ..common.models.iterative_rpn_plus_fpn import model
from .rpn_r50_fpn_1x import dataloader, lr_multiplier, optimizer, train

train.output_dir = "output/cascade_rpn/iterative_rpn_plus_r50_fpn_1x"
