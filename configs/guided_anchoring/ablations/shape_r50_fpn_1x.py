"""Table 4, shape alone (AR 53.8 / 59.9 / 63.6): guided anchors in all cells."""

from ..ga_rpn_r50_fpn_1x import dataloader, lr_multiplier, model, optimizer, train

_generator = model.proposal_generator
_generator.head.location = False
_generator.head.adaption = None
_generator.location_loss = None
train.output_dir = "output/guided_anchoring/ablations/shape_r50_fpn_1x"
