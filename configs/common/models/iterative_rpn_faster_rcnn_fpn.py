"""Faster R-CNN on Iterative RPN, trained jointly, 300 proposals.

Settings of the ROI heads are not given for it; they are those for Cascade RPN. The weights of its
own losses stay those of RPN.
"""

from .high_quality_rois import model
from .iterative_rpn import proposal_generator

model.proposal_generator = proposal_generator
model.proposal_generator.pre_nms_topk = (2000, 1000)
model.proposal_generator.post_nms_topk = (300, 300)
