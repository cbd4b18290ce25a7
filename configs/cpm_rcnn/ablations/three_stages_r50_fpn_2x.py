"""Tables 4 and 5, CMM of three stages (40.8 AP)."""

from ..cpm_rcnn_r50_fpn_2x import dataloader, lr_multiplier, model, optimizer, train

_heads = model.roi_heads
_heads.iou_scoring = None
_heads.resampling_scoring = None
train.output_dir = "output/cpm_rcnn/ablations/three_stages_r50_fpn_2x"
