"""Grid R-CNN with group norm, X-101-64x4d FPN, 25 epochs (43.0 AP on val2017, mmdet's model)."""

from cascade_rpn_d2.config import use_trunk

from ..common.trunks.resnext101_64x4d import trunk as _trunk
from .grid_rcnn_r50_fpn_2x import dataloader, lr_multiplier, model, optimizer, train

use_trunk(_trunk, model, dataloader, train)
train.output_dir = "output/grid_rcnn/grid_rcnn_x101_64x4d_fpn_2x"
