"""Faster R-CNN on Iterative RPN, 300 proposals, R-50 FPN, 1x: not in the paper."""

from ..common.models.iterative_rpn_faster_rcnn_fpn import model
from .faster_rcnn_r50_fpn_1x import dataloader, lr_multiplier, optimizer, train

train.output_dir = "output/cascade_rpn/iterative_rpn_faster_rcnn_r50_fpn_1x"
