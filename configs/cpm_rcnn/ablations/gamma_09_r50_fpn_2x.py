"""Figure 7, gamma 0.9.

For the weights of `cmm_ism_rsm_r50_fpn_2x.py`, whose gamma is 0.8.
"""

from .cmm_ism_rsm_r50_fpn_2x import dataloader, lr_multiplier, model, optimizer, train

model.roi_heads.score_gamma = 0.9
train.output_dir = "output/cpm_rcnn/ablations/gamma_09_r50_fpn_2x"
