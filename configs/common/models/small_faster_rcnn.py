"""Faster R-CNN for images of about 256 px: ResNet-18, 64-channel FPN, on the small RPN."""

from .faster_rcnn_fpn import model
from .small_rpn import model as small

model.backbone = small.backbone
model.pixel_mean = small.pixel_mean
model.pixel_std = small.pixel_std
model.proposal_generator = small.proposal_generator
model.proposal_generator.propose_in_training = True

heads = model.roi_heads
heads.batch_size_per_image = 256
heads.box_pooler.canonical_box_size = 112  # anchors are half as large as for COCO
heads.box_head.input_shape.channels = 64
heads.box_head.fc_dims = [256, 256]
heads.box_predictor.input_shape.channels = 256
