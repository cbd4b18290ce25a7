"""Faster R-CNN, VGG-16, one scale (256 px), three aspect ratios: Table 8 (67.9 mAP on VOC 2007)."""

from ..faster_rcnn_vgg16 import dataloader, lr_multiplier, model, optimizer, train

_generator = model.proposal_generator
_generator.head.num_anchors = 3
_generator.anchor_generator.sizes = [[256]]
train.output_dir = "output/faster_rcnn/ablations/three_ratios_256_vgg16"
