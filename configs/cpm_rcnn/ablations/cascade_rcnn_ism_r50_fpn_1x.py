"""Table 3, Cascade R-CNN of two stages with ISM (39.9 AP)."""

from .cascade_rcnn_ism_rsm_r50_fpn_1x import dataloader, lr_multiplier, model, optimizer, train

model.roi_heads.resampling_scoring = None
model.roi_heads.iou_scoring.loss_weight = 1.5  # released config
train.output_dir = "output/cpm_rcnn/ablations/cascade_rcnn_ism_r50_fpn_1x"
