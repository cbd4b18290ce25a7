"""Tables 1 and 6, ISM on one stage, learnt by its l2 loss (40.5 AP)."""

from .ism_rsm_r50_fpn_2x import dataloader, lr_multiplier, model, optimizer, train

model.roi_heads.resampling_scoring = None
train.output_dir = "output/cpm_rcnn/ablations/ism_r50_fpn_2x"
