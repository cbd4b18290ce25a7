"""RPN, R-152 FPN, 1x: Table 1 (AR 51.9 / 58.0 / 62.0 on val2017)."""

from cascade_rpn_d2.config import use_trunk

# Which weights the paper starts from is open.
from ..common.trunks.resnet152 import trunk as _trunk
from .rpn_r50_fpn_1x import dataloader, lr_multiplier, model, optimizer, train

use_trunk(_trunk, model, dataloader, train)
train.output_dir = "output/guided_anchoring/rpn_r152_fpn_1x"
