"""Grid R-CNN with group norm, R-50 FPN, 12 epochs. mmdet has the config, but no number."""

from ..common.schedules import lr_multiplier_1x as lr_multiplier
from .grid_rcnn_r50_fpn_2x import dataloader, model, optimizer, train

train.output_dir = "output/grid_rcnn/grid_rcnn_r50_fpn_1x"
train.max_iter = 87_960
lr_multiplier.warmup_factor = 1e-4
