"""Table 1, RSM without CMM, as the released config has it: behind two equal stages.

Open: whether the paper's row (40.6 AP) is of these or of the one of `rsm_r50_fpn_2x.py`.
"""

from .two_stages_ism_rsm_r50_fpn_2x import dataloader, lr_multiplier, model, optimizer, train

model.roi_heads.iou_scoring = None
train.output_dir = "output/cpm_rcnn/ablations/two_stages_rsm_r50_fpn_2x"
