"""GA-RPN, X-101-32x4d FPN, 1x (AR1000 70.0 on val2017, released by the authors)."""

from cascade_rpn_d2.config import use_trunk

from ..common.trunks.resnext101_32x4d import trunk as _trunk
from .ga_rpn_r50_fpn_1x import dataloader, lr_multiplier, model, optimizer, train

use_trunk(_trunk, model, dataloader, train)
train.output_dir = "output/guided_anchoring/ga_rpn_x101_32x4d_fpn_1x"
