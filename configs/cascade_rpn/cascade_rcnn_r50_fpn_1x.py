"""Cascade R-CNN on RPN, R-50 FPN, 1x: Table 7's baseline (40.8 AP, presumably on val2017)."""

from torchvision.models import ResNet50_Weights

from ..common.models.cascade_rcnn_fpn import model
from .faster_rcnn_r50_fpn_1x import dataloader, lr_multiplier, optimizer, train

train.output_dir = "output/cascade_rpn/cascade_rcnn_r50_fpn_1x"
train.init_checkpoint = ResNet50_Weights.IMAGENET1K_V1.url  # downloaded once
dataloader.train.mapper.image_format = "RGB"
