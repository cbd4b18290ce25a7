"""Table 5, location threshold 0.1 (AR 59.0 / 64.7 / 67.2, 2,375 anchors).

For the weights of `ga_rpn_r50_fpn_1x.py`: the threshold matters at test alone.
"""

from ..ga_rpn_r50_fpn_1x import dataloader, lr_multiplier, model, optimizer, train

model.proposal_generator.location_threshold = 0.1
train.output_dir = "output/guided_anchoring/ablations/location_threshold_010_r50_fpn_1x"
