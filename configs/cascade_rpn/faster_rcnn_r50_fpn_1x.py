"""Faster R-CNN on RPN, 1000 proposals, R-50 FPN, 1x: Table 2's baseline (37.1 AP on test-dev)."""

from ..common.data.coco_detection import dataloader
from ..common.models.faster_rcnn_fpn import model
from .rpn_r50_fpn_1x import lr_multiplier, optimizer, train

train.output_dir = "output/cascade_rpn/faster_rcnn_r50_fpn_1x"
train.best_checkpoint = {"metric": "bbox/AP", "mode": "max"}
