"""The demo's GA-RPN on images that are scaled and turned to RGB."""

from ...configs.common.models.demo_ga_rpn import model
from .tiny_rpn import dataloader  # noqa: F401  (part of this config)

model.proposal_generator.post_nms_topk = (100, 100)
