"""Faster R-CNN, R-50 FPN, 2x: Table 2 of CPM R-CNN (37.6 AP on val2017).

Which code made this row is open; here all but the ROI heads is CPM R-CNN's.
"""

from ..common.models.faster_rcnn_fpn import model as _faster
from .cpm_rcnn_r50_fpn_2x import dataloader, lr_multiplier, model, optimizer, train

_heads = _faster.roi_heads
_heads.box_pooler = model.roi_heads.box_pooler
model.roi_heads = _heads
train.output_dir = "output/cpm_rcnn/faster_rcnn_r50_fpn_2x"
