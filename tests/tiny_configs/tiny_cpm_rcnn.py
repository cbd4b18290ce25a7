"""CPM R-CNN of one class in two stages, with the demo's small backbone."""

from ...configs.common.models.cpm_rcnn_fpn import model
from .tiny_faster_rcnn import dataloader  # noqa: F401  (part of this config)
from .tiny_faster_rcnn import model as faster

model.backbone = faster.backbone
model.pixel_mean, model.pixel_std = faster.pixel_mean, faster.pixel_std
model.proposal_generator = faster.proposal_generator
model.roi_heads.num_classes = 1
model.roi_heads.box_head.input_shape.channels = 64
model.roi_heads.box_head.fc_dims = [32]
model.roi_heads.box_predictor.input_shape.channels = 32
model.roi_heads.box_predictor.test_score_thresh = 0.0
model.roi_heads.box_predictor.test_topk_per_image = 12
model.roi_heads.grid_stages = model.roi_heads.grid_stages[:2]
for stage in model.roi_heads.grid_stages:
    stage.head.input_shape.channels = 64
    stage.head.point_channels = 4
    stage.head.num_convs = 2
model.roi_heads.iou_scoring.input_shape.channels = 36
model.roi_heads.iou_scoring.fc_dims = [8]
model.roi_heads.resampling_scoring.head.input_shape.channels = 64
model.roi_heads.resampling_scoring.head.fc_dims = [8]
