"""CPM R-CNN of three stages, X-101-64x4d FPN, 2x: Table 7 (43.6 AP on test-dev).

No released config is of this backbone without deformable convolutions.
"""

from cascade_rpn_d2.config import use_trunk

# The released config with deformable convolutions starts from a conversion of its authors, for BGR
# images and no deviation, which is on a drive that asks for a browser; here from mmdet's, for RGB.
from ..common.trunks.resnext101_64x4d import trunk as _trunk
from .cpm_rcnn_r50_fpn_2x import dataloader, lr_multiplier, model, optimizer, train

use_trunk(_trunk, model, dataloader, train)
# Norms are frozen as a whole.
model.backbone.bottom_up.stem.norm = "FrozenBN"
for _stage in model.backbone.bottom_up.stages:
    _stage.norm = "FrozenBN"
model.roi_heads.max_grid_rois_per_image = 32  # section 4.2
train.output_dir = "output/cpm_rcnn/cpm_rcnn_x101_64x4d_fpn_2x"
