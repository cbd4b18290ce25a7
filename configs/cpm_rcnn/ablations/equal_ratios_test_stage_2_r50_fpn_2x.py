"""Table 5, mapping ratios (2, 2, 2), tested at stage 2 (40.4 AP).

For the weights of `equal_ratios_r50_fpn_2x.py`.
"""

from .equal_ratios_r50_fpn_2x import dataloader, lr_multiplier, model, optimizer, train

model.roi_heads.test_stage = 2
train.output_dir = "output/cpm_rcnn/ablations/equal_ratios_test_stage_2_r50_fpn_2x"
