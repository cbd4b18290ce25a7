"""Table 6, neither rule (AR 51.7 / 58.0 / 61.6): anchors off their cells, features not adapted."""

from .predicted_centers_r50_fpn_1x import dataloader, lr_multiplier, model, optimizer, train

model.proposal_generator.head.adaption = None
train.output_dir = "output/guided_anchoring/ablations/predicted_centers_no_adaption_r50_fpn_1x"
