"""RPN as a cascade of one stage, so that its losses, sampler and layers can be exchanged.

All numbers are those of `rpn.py`.
"""

from .iterative_rpn_fpn import model

model.proposal_generator.stages = model.proposal_generator.stages[:1]
model.proposal_generator.nms_thresh = 0.7
