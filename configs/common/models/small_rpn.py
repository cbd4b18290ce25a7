"""The baseline RPN for images of about 256 px: ResNet-18, 64-channel FPN, smaller anchors."""

from .resnet18_fpn import backbone, pixel_mean, pixel_std
from .rpn_fpn import model

model.backbone = backbone
model.pixel_mean = pixel_mean
model.pixel_std = pixel_std
generator = model.proposal_generator
generator.head.in_channels = 64
# Objects are a fraction as large as in COCO at 800 px, and so are the anchors: 4 strides, not 8.
generator.anchor_generator.sizes = [[16], [32], [64], [128], [256]]
generator.pre_nms_topk = (1000, 1000)
generator.post_nms_topk = (1000, 1000)
# Unlike in the papers' baselines, anchors across the border learn: they are 17 % at this size, and
# what they propose untrained costs recall.
generator.refinement.border = None
generator.size_divisibility = 16  # of the backbone, whose coarsest map comes from res4
