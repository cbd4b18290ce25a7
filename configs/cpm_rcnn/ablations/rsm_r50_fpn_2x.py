"""Table 1, RSM on one stage (40.6 AP).

Open: whether the paper's row has one stage, as its baseline, or two without CMM, as the only
released config: `two_stages_rsm_r50_fpn_2x.py`.
"""

from .ism_rsm_r50_fpn_2x import dataloader, lr_multiplier, model, optimizer, train

model.roi_heads.iou_scoring = None
train.output_dir = "output/cpm_rcnn/ablations/rsm_r50_fpn_2x"
