"""Faster R-CNN on GA-RPN, R-101 FPN, 1x (41.5 AP on val2017, released by the authors)."""

from cascade_rpn_d2.config import use_trunk

from ..common.trunks.resnet101 import trunk as _trunk
from .ga_faster_rcnn_r50_fpn_1x import dataloader, lr_multiplier, model, optimizer, train

use_trunk(_trunk, model, dataloader, train)
train.output_dir = "output/guided_anchoring/ga_faster_rcnn_r101_fpn_1x"
