"""Fast R-CNN on Cascade RPN by the authors' recipe: the paper's 40.1 AP, their weights."""

from cascade_rpn_d2.config import use_authors_recipe

from ..cascade_rpn_fast_rcnn_r50_fpn_1x import dataloader, lr_multiplier, model, optimizer, train

use_authors_recipe(model, lr_multiplier)
dataloader.train.dataset.proposal_files = [
    "output/cascade_rpn/authors/cascade_rpn_r50_fpn_1x/proposals_train2017.npz"
]
dataloader.test.dataset.proposal_files = [
    "output/cascade_rpn/authors/cascade_rpn_r50_fpn_1x/proposals_val2017.npz"
]
train.output_dir = "output/cascade_rpn/authors/cascade_rpn_fast_rcnn_r50_fpn_1x"
