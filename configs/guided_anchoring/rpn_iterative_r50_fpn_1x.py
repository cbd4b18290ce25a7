"""RPN applied twice, R-50 FPN, 1x: "RPN+Iterative" of Table 1 (AR 49.7 / 56.0 / 60.0 on val2017).

The paper applies "two RPN heads consecutively, with an additional 3 x 3 convolution between them".
We take it that this is the convolution of the second head, on the features that the first predicts
from. The Iterative RPN of Cascade RPN's tables starts from the FPN maps twice.
"""

import copy

from ..common.models.staged_rpn_fpn import model
from .rpn_r50_fpn_1x import dataloader, lr_multiplier, optimizer, train

# Both classify, and learn as RPN does; whether the second's metric is stricter is open.
(_first,) = model.proposal_generator.stages
_second = copy.deepcopy(_first)
_first.bridge = True
_second.border = None  # its boxes are clipped
model.proposal_generator.stages = [_first, _second]
train.output_dir = "output/guided_anchoring/rpn_iterative_r50_fpn_1x"
