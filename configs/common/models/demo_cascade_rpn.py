"""The small backbone with Cascade RPN, for images of about 256 px."""

from .cascade_rpn import proposal_generator
from .demo_rpn import model

anchors = model.proposal_generator.anchor_generator
model.proposal_generator = proposal_generator
generator = model.proposal_generator
generator.propose_in_training = False
generator.pre_nms_topk = (1000, 1000)
generator.post_nms_topk = (1000, 1000)
generator.anchor_generator.sizes = anchors.sizes
for stage in generator.stages:
    stage.align.in_channels = 64
    stage.align.out_channels = 64
    stage.predictor.in_channels = 64
generator.stages[0].align.dilation = 2  # outer taps on the edges of an anchor 4 strides wide
generator.stages[0].assigner.anchor_scale = 4.0
