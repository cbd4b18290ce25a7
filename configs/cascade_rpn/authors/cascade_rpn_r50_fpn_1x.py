"""Cascade RPN by the authors' recipe: the paper's AR1000 71.7, and their weights of 2019."""

from cascade_rpn_d2.config import use_authors_recipe

from ..cascade_rpn_r50_fpn_1x import dataloader, lr_multiplier, model, optimizer, train

use_authors_recipe(model, lr_multiplier)
train.output_dir = "output/cascade_rpn/authors/cascade_rpn_r50_fpn_1x"
