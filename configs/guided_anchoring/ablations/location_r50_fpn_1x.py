"""Table 4, location alone (AR 48.0 / 54.8 / 59.5): RPN's three anchors, in some cells only.

Open in paper and code: statistics and loss of the deltas; they are those of the other rows.
"""

from ..ga_rpn_r50_fpn_1x import dataloader, lr_multiplier, model, optimizer, train

_generator = model.proposal_generator
_generator.anchor_generator.aspect_ratios = [0.5, 1.0, 2.0]
_generator.head.num_anchors = 3
_generator.head.shape = "none"
_generator.head.adaption = None
_generator.shape = None
train.output_dir = "output/guided_anchoring/ablations/location_r50_fpn_1x"
