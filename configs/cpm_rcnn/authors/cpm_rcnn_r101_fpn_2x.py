"""CPM R-CNN, R-101, in its authors' coordinates: their 43.3 AP on test-dev, and their weights."""

from cascade_rpn_d2.config import use_cpm_authors_geometry

from ..cpm_rcnn_r101_fpn_2x import dataloader, lr_multiplier, model, optimizer, train

use_cpm_authors_geometry(model, dataloader)
train.output_dir = "output/cpm_rcnn/authors/cpm_rcnn_r101_fpn_2x"
