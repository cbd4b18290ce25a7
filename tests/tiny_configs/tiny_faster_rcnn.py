"""A detector of COCO's classes with the demo's small backbone."""

from ...configs.common.models.faster_rcnn_fpn import model
from ...configs.common.models.tiny_resnet_fpn import backbone, pixel_mean, pixel_std
from .tiny_rpn import dataloader

model.backbone = backbone
model.pixel_mean, model.pixel_std = pixel_mean, pixel_std
model.proposal_generator.head.in_channels = 64
model.proposal_generator.post_nms_topk = (50, 50)
model.roi_heads.box_head.input_shape.channels = 64
model.roi_heads.box_head.fc_dims = [32]
model.roi_heads.box_predictor.input_shape.channels = 32
model.roi_heads.box_predictor.test_score_thresh = 0.0
dataloader.test.mapper.image_format = "BGR"
dataloader.test.mapper.augmentations = []
