"""Table 5, mapping ratios (2, 2, 2), tested at stage 1 (39.9 AP).

For the weights of `equal_ratios_r50_fpn_2x.py`.
"""

from .equal_ratios_r50_fpn_2x import dataloader, lr_multiplier, model, optimizer, train

model.roi_heads.test_stage = 1
train.output_dir = "output/cpm_rcnn/ablations/equal_ratios_test_stage_1_r50_fpn_2x"
