"""Table 3, Cascade R-CNN of two stages with ISM and RSM, R-50 FPN, 1x (40.2 AP).

The schedule is the released config's: 90,000 iterations, steps at 60,000 and 80,000.
"""

from ...common.models.scored_cascade_rcnn_fpn import model as _cascade
from ..cpm_rcnn_r50_fpn_2x import dataloader, lr_multiplier, model, optimizer, train

model.roi_heads = _cascade.roi_heads
train.max_iter = 90_000  # half of the 2x, whose steps are at the same parts
train.output_dir = "output/cpm_rcnn/ablations/cascade_rcnn_ism_rsm_r50_fpn_1x"
