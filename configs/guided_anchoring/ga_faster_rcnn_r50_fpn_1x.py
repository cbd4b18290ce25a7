"""Faster R-CNN on GA-RPN, 300 proposals, R-50 FPN, 1x: Table 2 (39.8 AP on test-dev)."""

from ..common.models.ga_faster_rcnn_fpn import model
from .faster_rcnn_r50_fpn_1x import dataloader, lr_multiplier, optimizer, train

train.output_dir = "output/guided_anchoring/ga_faster_rcnn_r50_fpn_1x"
