"""GA-RetinaNet with the demo's small backbone, on images that are scaled and turned to RGB."""

from ...configs.common.models.ga_retinanet_fpn import model
from ...configs.common.models.tiny_resnet_fpn import backbone, pixel_mean, pixel_std
from .tiny_rpn import dataloader  # noqa: F401  (part of this config)

model.backbone = backbone
model.pixel_mean, model.pixel_std = pixel_mean, pixel_std
model.head_in_features = ["p2", "p3", "p4", "p5", "p6"]
model.anchor_generator.strides = [4, 8, 16, 32, 64]
model.anchor_generator.sizes = [[16], [32], [64], [128], [256]]
model.num_classes = 2
head = model.head
head.in_channels, head.num_convs = 64, 1
for adaption in (head.cls_adaption, head.box_adaption):
    adaption.in_channels = adaption.out_channels = 64
