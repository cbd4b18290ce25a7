"""CPM R-CNN of three stages for images of about 256 px: ResNet-18, 64-channel FPN, small RPN.

The heads have a fourth of the channels and half of the convolutions, to suit a CPU.
"""

from .cpm_rcnn_fpn import model
from .small_faster_rcnn import model as small

for part in ("backbone", "pixel_mean", "pixel_std", "proposal_generator"):
    model[part] = small[part]

heads = model.roi_heads
heads.batch_size_per_image = small.roi_heads.batch_size_per_image
heads.box_pooler = small.roi_heads.box_pooler
heads.box_head = small.roi_heads.box_head
heads.box_predictor.input_shape.channels = 256
heads.grid_pooler.canonical_box_size = 112
heads.max_grid_rois_per_image = 32
for stage in heads.grid_stages:
    stage.head.input_shape.channels = 64
    stage.head.point_channels = 16
    stage.head.num_convs = 4
    # A short training has no time to learn first that most of a heat map is empty.
    stage.head.init = "plus"
heads.iou_scoring.input_shape.channels = 144  # 9 points
heads.iou_scoring.fc_dims = [256, 256]
heads.resampling_scoring.head = small.roi_heads.box_head
heads.resampling_scoring.batch_size_per_image = 256
