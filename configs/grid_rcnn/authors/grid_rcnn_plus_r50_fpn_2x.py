"""Grid R-CNN Plus in its authors' coordinates: their 40.4 AP on val2017, and their weights."""

from cascade_rpn_d2.config import use_grid_authors_geometry

from ..grid_rcnn_plus_r50_fpn_2x import dataloader, lr_multiplier, model, optimizer, train

use_grid_authors_geometry(model, dataloader)
train.output_dir = "output/grid_rcnn/authors/grid_rcnn_plus_r50_fpn_2x"
