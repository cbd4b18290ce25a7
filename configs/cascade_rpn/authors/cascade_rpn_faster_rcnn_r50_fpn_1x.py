"""Faster R-CNN on Cascade RPN by the authors' recipe: the paper's 40.6 AP, their weights."""

from cascade_rpn_d2.config import use_authors_recipe

from ..cascade_rpn_faster_rcnn_r50_fpn_1x import dataloader, lr_multiplier, model, optimizer, train

use_authors_recipe(model, lr_multiplier)
train.output_dir = "output/cascade_rpn/authors/cascade_rpn_faster_rcnn_r50_fpn_1x"
