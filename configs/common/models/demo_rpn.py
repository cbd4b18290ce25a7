"""The small RPN with a backbone that trains from scratch."""

from .small_rpn import model
from .tiny_resnet_fpn import backbone, pixel_mean, pixel_std

model.backbone = backbone
model.pixel_mean = pixel_mean
model.pixel_std = pixel_std
model.proposal_generator.size_divisibility = 32
model.proposal_generator.refinement.border = 0.0  # as in the papers' tables, which it stands for
