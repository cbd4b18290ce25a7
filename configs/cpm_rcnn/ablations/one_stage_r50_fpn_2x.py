"""Tables 1, 4 and 6, the baseline: one stage, scores of the classifier (39.9 AP)."""

from .ism_r50_fpn_2x import dataloader, lr_multiplier, model, optimizer, train

model.roi_heads.iou_scoring = None
train.output_dir = "output/cpm_rcnn/ablations/one_stage_r50_fpn_2x"
