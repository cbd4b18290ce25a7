"""Cascade R-CNN on Cascade RPN, R-50 FPN, 1x: Table 7 (41.6 AP, presumably on val2017)."""

from ..common.models.cascade_rpn_cascade_rcnn_fpn import model
from .cascade_rcnn_r50_fpn_1x import dataloader, lr_multiplier, optimizer, train

train.output_dir = "output/cascade_rpn/cascade_rpn_cascade_rcnn_r50_fpn_1x"
