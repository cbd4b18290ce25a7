"""RPN, X-101-32x4d FPN, 1x: Table 1 has a ResNeXt-101 (AR 52.8 / 58.7 / 62.6 on val2017).

Whether it is this one or the 64x4d is open: the authors released models of both.
"""

from cascade_rpn_d2.config import use_trunk

from ..common.trunks.resnext101_32x4d import trunk as _trunk
from .rpn_r50_fpn_1x import dataloader, lr_multiplier, model, optimizer, train

use_trunk(_trunk, model, dataloader, train)
train.output_dir = "output/guided_anchoring/rpn_x101_32x4d_fpn_1x"
