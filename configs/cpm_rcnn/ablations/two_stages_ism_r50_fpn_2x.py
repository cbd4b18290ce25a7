"""Table 1, ISM without CMM, as one released config has it: on the second of two equal stages.

Open: the paper's 40.5 AP is also in Table 6, whose baseline has one stage, and there is a released
config of that too: `ism_r50_fpn_2x.py`.
"""

from .two_stages_ism_rsm_r50_fpn_2x import dataloader, lr_multiplier, model, optimizer, train

model.roi_heads.resampling_scoring = None
train.output_dir = "output/cpm_rcnn/ablations/two_stages_ism_r50_fpn_2x"
