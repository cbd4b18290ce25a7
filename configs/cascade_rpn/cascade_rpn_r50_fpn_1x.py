"""Cascade RPN, R-50 FPN, 1x: Table 1 (AR 61.1 / 67.6 / 71.7 on val2017)."""

from ..common.models.cascade_rpn_fpn import model
from .rpn_r50_fpn_1x import dataloader, lr_multiplier, optimizer, train

train.output_dir = "output/cascade_rpn/cascade_rpn_r50_fpn_1x"
