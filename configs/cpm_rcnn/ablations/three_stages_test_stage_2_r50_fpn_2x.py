"""Tables 4 and 5, three stages, tested at stage 2 (40.7 AP).

For the weights of `three_stages_r50_fpn_2x.py`.
"""

from .three_stages_r50_fpn_2x import dataloader, lr_multiplier, model, optimizer, train

model.roi_heads.test_stage = 2
train.output_dir = "output/cpm_rcnn/ablations/three_stages_test_stage_2_r50_fpn_2x"
