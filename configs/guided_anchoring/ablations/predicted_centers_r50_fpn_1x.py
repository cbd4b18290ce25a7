"""Table 6, without centre alignment (AR 57.2 / 63.6 / 66.8): anchors leave their cells' centres.

Open: the deviations of dx and dy; these come with the released code's, which does not use them.
"""

from ..ga_rpn_r50_fpn_1x import dataloader, lr_multiplier, model, optimizer, train

_head = model.proposal_generator.head
_head.shape = "box"
_head.adaption.shape_channels = 4
train.output_dir = "output/guided_anchoring/ablations/predicted_centers_r50_fpn_1x"
