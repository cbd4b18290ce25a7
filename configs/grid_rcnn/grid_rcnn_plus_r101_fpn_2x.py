"""Grid R-CNN Plus, R-101 FPN, 25 epochs of 64 images, as its authors do (42.0 AP on val2017)."""

from cascade_rpn_d2.config import use_trunk

from ..common.trunks.resnet101_torchvision import trunk as _trunk
from .grid_rcnn_plus_r50_fpn_2x import dataloader, lr_multiplier, model, optimizer, train

use_trunk(_trunk, model, dataloader, train)
train.output_dir = "output/grid_rcnn/grid_rcnn_plus_r101_fpn_2x"
