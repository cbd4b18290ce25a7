"""Table 5, location threshold 0 (AR 59.2 / 65.2 / 68.5, 75,583 anchors an image).

For the weights of `ga_rpn_r50_fpn_1x.py`: the threshold matters at test alone.
"""

from ..ga_rpn_r50_fpn_1x import dataloader, lr_multiplier, model, optimizer, train

model.proposal_generator.location_threshold = 0.0
train.output_dir = "output/guided_anchoring/ablations/location_threshold_000_r50_fpn_1x"
