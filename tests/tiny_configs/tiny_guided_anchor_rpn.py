"""GA-RPN with the demo's small backbone, on images that are scaled and turned to RGB."""

from ...configs.common.models.ga_rpn_fpn import model
from ...configs.common.models.tiny_resnet_fpn import backbone, pixel_mean, pixel_std
from .tiny_rpn import dataloader  # noqa: F401  (part of this config)

model.backbone = backbone
model.pixel_mean, model.pixel_std = pixel_mean, pixel_std
generator = model.proposal_generator
generator.head.in_channels = 64
generator.head.adaption.in_channels = generator.head.adaption.out_channels = 64
generator.anchor_generator.sizes = [[16], [32], [64], [128], [256]]
generator.location_loss.assigner.anchor_scale = 4.0
generator.post_nms_topk = (100, 100)
