"""CPM R-CNN, X-101-64x4d FPN with deformable convolutions, trained and tested at several scales,
with soft-NMS: Table 7 (49.9 AP on test-dev).

For the weights of `cpm_rcnn_x101_64x4d_dcn_ms_fpn_2x.py`, with `cascade-rpn eval --tta`.
"""

from ..common.tta import tta
from .cpm_rcnn_x101_64x4d_dcn_ms_fpn_2x import dataloader, lr_multiplier, model, optimizer, train

train.output_dir = "output/cpm_rcnn/cpm_rcnn_x101_64x4d_dcn_ms_tta_fpn_2x"
