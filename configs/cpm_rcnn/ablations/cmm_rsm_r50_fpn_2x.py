"""Table 1, CMM of two stages and RSM (40.9 AP)."""

from .cmm_ism_rsm_r50_fpn_2x import dataloader, lr_multiplier, model, optimizer, train

model.roi_heads.iou_scoring = None
train.output_dir = "output/cpm_rcnn/ablations/cmm_rsm_r50_fpn_2x"
