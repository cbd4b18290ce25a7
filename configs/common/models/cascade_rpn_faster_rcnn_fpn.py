"""Faster R-CNN on Cascade RPN, trained jointly, 300 proposals."""

from .cascade_rpn import proposal_generator
from .high_quality_rois import model

model.proposal_generator = proposal_generator
model.proposal_generator.pre_nms_topk = (2000, 1000)
model.proposal_generator.post_nms_topk = (300, 300)
for stage in model.proposal_generator.stages:
    stage.loc_weight = 7.0  # 0.7 of the weights that proposals alone are trained with
model.proposal_generator.stages[-1].cls_weight = 0.7
