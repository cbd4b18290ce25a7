"""The demo's RPN on images that are scaled and turned to RGB: what a predictor must not forget."""

import detectron2.data.transforms as T
from detectron2.config import LazyCall as L

from ...configs.common.data.coco import dataloader
from ...configs.common.models.demo_rpn import model

model.proposal_generator.post_nms_topk = (100, 100)
dataloader.train.mapper.image_format = "RGB"
dataloader.test.mapper.augmentations = [L(T.ResizeShortestEdge)(short_edge_length=96, max_size=128)]
