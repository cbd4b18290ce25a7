"""Table 1 and Figure 7, CMM of two stages with ISM and RSM (41.3 AP): two of CPM R-CNN's stages."""

from ..cpm_rcnn_r50_fpn_2x import dataloader, lr_multiplier, model, optimizer, train

_heads = model.roi_heads
_heads.grid_stages = _heads.grid_stages[:2]
train.output_dir = "output/cpm_rcnn/ablations/cmm_ism_rsm_r50_fpn_2x"
