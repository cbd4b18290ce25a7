"""RPN as a cascade of one stage, so that its losses, sampler and layers can be exchanged.

The heads are those of `rpn.py`; a stage divides its losses by the samples that an image has, rather
than by those that were asked for, and no anchor with an IoU below 0.3 is positive.
"""

from .iterative_rpn_fpn import model

model.proposal_generator.stages = model.proposal_generator.stages[:1]
model.proposal_generator.nms_thresh = 0.7
