"""Faster R-CNN on GA-RPN, trained jointly, 300 proposals."""

from .ga_rpn import proposal_generator
from .guided_anchoring_rois import model

model.proposal_generator = proposal_generator
model.proposal_generator.pre_nms_topk = (2000, 1000)
model.proposal_generator.post_nms_topk = (300, 300)
