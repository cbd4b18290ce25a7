"""Table 1, ISM and RSM on one stage (AP not legible in our copy, 44.2 at IoU 0.75).

Open: whether the paper's row has one stage, as its baseline, or two without CMM, as the only
released config: `two_stages_ism_rsm_r50_fpn_2x.py`.
"""

from ..cpm_rcnn_r50_fpn_2x import dataloader, lr_multiplier, model, optimizer, train

_heads = model.roi_heads
_heads.grid_stages = _heads.grid_stages[:1]
train.output_dir = "output/cpm_rcnn/ablations/ism_rsm_r50_fpn_2x"
