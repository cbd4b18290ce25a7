"""Faster R-CNN on Iterative RPN+, 300 proposals, R-50 FPN, 1x: Table 2 (39.2 AP on test-dev)."""

from ..common.models.iterative_rpn_plus_faster_rcnn_fpn import model
from .faster_rcnn_r50_fpn_1x import dataloader, lr_multiplier, optimizer, train

train.output_dir = "output/cascade_rpn/iterative_rpn_plus_faster_rcnn_r50_fpn_1x"
