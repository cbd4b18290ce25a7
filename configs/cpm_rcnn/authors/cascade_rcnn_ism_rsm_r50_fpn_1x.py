"""Cascade R-CNN with both scores in the coordinates of CPM R-CNN's authors: 40.2 AP (Table 3), and
weights of their code.
"""

from cascade_rpn_d2.config import use_cpm_authors_geometry

from ..ablations.cascade_rcnn_ism_rsm_r50_fpn_1x import (
    dataloader,
    lr_multiplier,
    model,
    optimizer,
    train,
)

use_cpm_authors_geometry(model, dataloader)
train.output_dir = "output/cpm_rcnn/authors/cascade_rcnn_ism_rsm_r50_fpn_1x"
