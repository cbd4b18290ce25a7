"""Table 3, the baseline: Cascade R-CNN of two stages (39.8 AP)."""

from .cascade_rcnn_rsm_r50_fpn_1x import dataloader, lr_multiplier, model, optimizer, train

model.roi_heads.resampling_scoring = None
train.output_dir = "output/cpm_rcnn/ablations/cascade_rcnn_r50_fpn_1x"
