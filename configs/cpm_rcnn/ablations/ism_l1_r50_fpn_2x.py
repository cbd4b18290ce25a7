"""Table 6, ISM learnt by its l1 loss (40.0 AP).

The released code has the l2 loss alone.
"""

from .ism_r50_fpn_2x import dataloader, lr_multiplier, model, optimizer, train

model.roi_heads.iou_scoring.loss = "l1"
train.output_dir = "output/cpm_rcnn/ablations/ism_l1_r50_fpn_2x"
