"""Fast R-CNN on Cascade RPN's proposals for images of about 256 px: ResNet-18, 64-channel FPN."""

from .high_quality_fast_rcnn_fpn import model
from .resnet18_fpn import backbone, pixel_mean, pixel_std

model.backbone = backbone
model.pixel_mean = pixel_mean
model.pixel_std = pixel_std
model.roi_heads.box_head.input_shape.channels = 64
model.roi_heads.box_head.fc_dims = [256, 256]
model.roi_heads.box_predictor.input_shape.channels = 256
