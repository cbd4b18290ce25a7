"""Table 3, Cascade R-CNN of two stages with RSM (40.0 AP)."""

from .cascade_rcnn_ism_rsm_r50_fpn_1x import dataloader, lr_multiplier, model, optimizer, train

model.roi_heads.iou_scoring = None
train.output_dir = "output/cpm_rcnn/ablations/cascade_rcnn_rsm_r50_fpn_1x"
