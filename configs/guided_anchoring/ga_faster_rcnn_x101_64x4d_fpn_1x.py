"""Faster R-CNN on GA-RPN, X-101-64x4d FPN, 1x (43.9 AP on val2017, released by the authors)."""

from cascade_rpn_d2.config import use_trunk

from ..common.trunks.resnext101_64x4d import trunk as _trunk
from .ga_faster_rcnn_r50_fpn_1x import dataloader, lr_multiplier, model, optimizer, train

use_trunk(_trunk, model, dataloader, train)
train.output_dir = "output/guided_anchoring/ga_faster_rcnn_x101_64x4d_fpn_1x"
