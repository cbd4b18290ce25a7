"""Grid R-CNN with group norm, R-101 FPN, 25 epochs (41.5 AP on val2017, mmdet's model)."""

from cascade_rpn_d2.config import use_trunk

from ..common.trunks.resnet101_torchvision import trunk as _trunk
from .grid_rcnn_r50_fpn_2x import dataloader, lr_multiplier, model, optimizer, train

use_trunk(_trunk, model, dataloader, train)
train.output_dir = "output/grid_rcnn/grid_rcnn_r101_fpn_2x"
