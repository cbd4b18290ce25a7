"""The demo's Grid R-CNN: all as for Faster R-CNN but the ROI heads."""

from cascade_rpn_d2.data import num_classes

from ..common.models.demo_grid_rcnn import model
from .faster_rcnn import dataloader, lr_multiplier, optimizer, train

train.output_dir = "output/demo/grid_rcnn"
model.roi_heads.num_classes = num_classes(dataloader.train.dataset.names)
