"""Table 3, baseline (AR 44.6 / 52.9 / 58.3): RPN with three anchors, as a cascade of one stage.

The paper's number is that of RPN in Table 1, whose released config has NMS 0.7 and no anchors across
the border; whether the row is that run is open. Here NMS, matching and normaliser are those of the
rows after, so that each of them differs in what it adds alone.
"""

from ...common.models.staged_rpn_fpn import model
from ..rpn_r50_fpn_1x import dataloader, lr_multiplier, optimizer, train

model.proposal_generator.nms_thresh = 0.8
train.output_dir = "output/cascade_rpn/ablations/baseline_r50_fpn_1x"
