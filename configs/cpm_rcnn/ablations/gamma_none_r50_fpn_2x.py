"""Figure 7, "None": the boxes of the whole model with the scores of its classifier alone.

For the weights of `cmm_ism_rsm_r50_fpn_2x.py`.
"""

from .cmm_ism_rsm_r50_fpn_2x import dataloader, lr_multiplier, model, optimizer, train

model.roi_heads.score_gamma = None
train.output_dir = "output/cpm_rcnn/ablations/gamma_none_r50_fpn_2x"
