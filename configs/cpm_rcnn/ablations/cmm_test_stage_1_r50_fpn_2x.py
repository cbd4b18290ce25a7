"""Table 4, two stages, tested at the first (39.9 AP).

For the weights of `cmm_r50_fpn_2x.py`.
"""

from .cmm_r50_fpn_2x import dataloader, lr_multiplier, model, optimizer, train

model.roi_heads.test_stage = 1
train.output_dir = "output/cpm_rcnn/ablations/cmm_test_stage_1_r50_fpn_2x"
