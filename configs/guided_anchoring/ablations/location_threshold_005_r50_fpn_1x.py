"""Table 5, location threshold 0.05 (AR 59.1 / 65.1 / 68.2, 5,251 anchors).

For the weights of `ga_rpn_r50_fpn_1x.py`: the threshold matters at test alone.
"""

from ..ga_rpn_r50_fpn_1x import dataloader, lr_multiplier, model, optimizer, train

model.proposal_generator.location_threshold = 0.05
train.output_dir = "output/guided_anchoring/ablations/location_threshold_005_r50_fpn_1x"
