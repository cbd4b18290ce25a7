"""Table 1, RSM on one stage (40.6 AP).

No released config is of this row.
"""

from .ism_rsm_r50_fpn_2x import dataloader, lr_multiplier, model, optimizer, train

model.roi_heads.iou_scoring = None
train.output_dir = "output/cpm_rcnn/ablations/rsm_r50_fpn_2x"
