"""Grid R-CNN for images of about 256 px: ResNet-18, 64-channel FPN, on the small RPN.

The heads have a fourth of the channels and half of the convolutions, to suit a CPU.
"""

from .grid_rcnn_fpn import model
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
(stage,) = heads.grid_stages
stage.head.input_shape.channels = 64
stage.head.point_channels = 16
stage.head.num_convs = 4
