"""Faster R-CNN, VGG-16, with the twelve anchors that the paper has on COCO: Table 11 (21.5 AP)."""

from .faster_rcnn_vgg16 import dataloader, lr_multiplier, model, optimizer, train

_generator = model.proposal_generator
_generator.head.num_anchors = 12
_generator.anchor_generator.sizes = [[64, 128, 256, 512]]  # 64 for small objects (section 4.2)
train.output_dir = "output/faster_rcnn/faster_rcnn_12_anchors_vgg16"
