"""Grid R-CNN, R-18 FPN, 1,000 iterations of 4 images at 256 px: a small dataset on a laptop."""

from ..common.models.small_grid_rcnn import model
from .faster_rcnn_r18_fpn_1k import dataloader, lr_multiplier, optimizer, train

train.output_dir = "output/small/grid_rcnn_r18_fpn_1k"
