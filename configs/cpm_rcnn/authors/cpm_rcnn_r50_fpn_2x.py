"""CPM R-CNN in its authors' coordinates: their 41.7 AP on test-dev, and their weights."""

from cascade_rpn_d2.config import use_cpm_authors_geometry

from ..cpm_rcnn_r50_fpn_2x import dataloader, lr_multiplier, model, optimizer, train

use_cpm_authors_geometry(model, dataloader)
train.output_dir = "output/cpm_rcnn/authors/cpm_rcnn_r50_fpn_2x"
