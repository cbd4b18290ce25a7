"""Faster R-CNN on Cascade RPN, 300 proposals, R-50 FPN, 1x: Table 2 (40.6 AP on test-dev)."""

from ..common.models.cascade_rpn_faster_rcnn_fpn import model
from .faster_rcnn_r50_fpn_1x import dataloader, lr_multiplier, optimizer, train

train.output_dir = "output/cascade_rpn/cascade_rpn_faster_rcnn_r50_fpn_1x"
