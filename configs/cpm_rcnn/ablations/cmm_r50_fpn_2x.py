"""Tables 1 and 4, CMM of two stages (40.7 AP)."""

from .cmm_ism_r50_fpn_2x import dataloader, lr_multiplier, model, optimizer, train

model.roi_heads.iou_scoring = None
train.output_dir = "output/cpm_rcnn/ablations/cmm_r50_fpn_2x"
