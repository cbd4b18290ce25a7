"""Faster R-CNN, R-18 FPN, 1,000 iterations of 4 images at 256 px: a small dataset on a laptop.

A recipe of ours, which no paper has; `grid_rcnn_r18_fpn_1k.py` and `cpm_rcnn_r18_fpn_1k.py` are the
same but for the ROI heads.
"""

from ..common.data.coco_detection import dataloader as _detection
from ..common.models.small_faster_rcnn import model
from .rpn_r18_fpn_1k import dataloader, lr_multiplier, optimizer, train

train.output_dir = "output/small/faster_rcnn_r18_fpn_1k"
dataloader.evaluator = _detection.evaluator
