"""Table 4, location and shape (AR 54.0 / 60.1 / 63.8): guided anchors, features not adapted.

Also the second row of Table 6. Whether the paper keeps a plain convolution in the place of the
adaption is open: here there is none; `plain_adaption_r50_fpn_1x.py` has one.
"""

from ..ga_rpn_r50_fpn_1x import dataloader, lr_multiplier, model, optimizer, train

model.proposal_generator.head.adaption = None
train.output_dir = "output/guided_anchoring/ablations/location_shape_r50_fpn_1x"
