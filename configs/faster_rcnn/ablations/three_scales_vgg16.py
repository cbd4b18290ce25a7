"""Faster R-CNN, VGG-16, three scales, one aspect ratio: Table 8 (69.8 mAP on VOC 2007)."""

from ..faster_rcnn_vgg16 import dataloader, lr_multiplier, model, optimizer, train

_generator = model.proposal_generator
_generator.head.num_anchors = 3
_generator.anchor_generator.aspect_ratios = [1.0]
train.output_dir = "output/faster_rcnn/ablations/three_scales_vgg16"
