"""The demo's Faster R-CNN: on the baseline's proposals, trained with them from scratch."""

from cascade_rpn_d2.data import num_classes

from ..common.data.coco_detection import dataloader as _detection
from ..common.models.demo_faster_rcnn import model
from .rpn import dataloader, lr_multiplier, optimizer, train

train.output_dir = "output/demo/faster_rcnn"
dataloader.evaluator = _detection.evaluator
model.roi_heads.num_classes = num_classes(dataloader.train.dataset.names)
