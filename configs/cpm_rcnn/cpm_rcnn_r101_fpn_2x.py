"""CPM R-CNN of three stages, R-101 FPN, 2x: Table 2 (43.2 AP on val2017)."""

from .cpm_rcnn_r50_fpn_2x import dataloader, lr_multiplier, model, optimizer, train

model.backbone.bottom_up.stages.depth = 101
train.init_checkpoint = "detectron2://ImageNetPretrained/MSRA/R-101.pkl"
train.output_dir = "output/cpm_rcnn/cpm_rcnn_r101_fpn_2x"
