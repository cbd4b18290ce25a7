"""Faster R-CNN, VGG-16, one anchor a cell, a square of 256 px: Table 8 (66.7 mAP on VOC 2007)."""

from ..faster_rcnn_vgg16 import dataloader, lr_multiplier, model, optimizer, train

_generator = model.proposal_generator
_generator.head.num_anchors = 1
_generator.anchor_generator.sizes = [[256]]
_generator.anchor_generator.aspect_ratios = [1.0]
train.output_dir = "output/faster_rcnn/ablations/one_anchor_256_vgg16"
