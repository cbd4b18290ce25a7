"""Cascade RPN for images of about 256 px: ResNet-18, 64-channel FPN, smaller anchors."""

from .cascade_rpn import proposal_generator
from .small_rpn import model

baseline = model.proposal_generator
generator = proposal_generator
generator.anchor_generator.sizes = baseline.anchor_generator.sizes
generator.pre_nms_topk = baseline.pre_nms_topk
generator.post_nms_topk = baseline.post_nms_topk
generator.propose_in_training = False
generator.size_divisibility = 16  # of the backbone, whose coarsest map comes from res4
for stage in generator.stages:
    stage.align.in_channels = 64
    stage.align.out_channels = 64
    stage.predictor.in_channels = 64
generator.stages[0].align.dilation = 2  # outer taps on the edges of an anchor 4 strides wide
generator.stages[0].assigner.anchor_scale = 4.0
model.proposal_generator = generator
