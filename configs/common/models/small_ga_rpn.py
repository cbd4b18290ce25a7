"""GA-RPN for images of about 256 px: ResNet-18, 64-channel FPN, smaller anchors."""

from .ga_rpn import proposal_generator
from .small_rpn import model

baseline = model.proposal_generator
generator = proposal_generator
generator.head.in_channels = 64
generator.head.adaption.in_channels = 64
generator.head.adaption.out_channels = 64
generator.anchor_generator.sizes = baseline.anchor_generator.sizes
generator.location_loss.assigner.anchor_scale = 4.0
generator.pre_nms_topk = baseline.pre_nms_topk
generator.post_nms_topk = baseline.post_nms_topk
generator.propose_in_training = False
generator.size_divisibility = 16  # of the backbone, whose coarsest map comes from res4
model.proposal_generator = generator
