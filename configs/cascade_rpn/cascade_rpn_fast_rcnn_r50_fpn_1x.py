"""Fast R-CNN on Cascade RPN's proposals, 300 of them, R-50 FPN, 1x: Table 2 (40.1 AP)."""

from ..common.data.coco_proposals import dataloader
from ..common.models.high_quality_fast_rcnn_fpn import model
from .faster_rcnn_r50_fpn_1x import lr_multiplier, optimizer, train

dataloader.train.dataset.proposal_files = [
    "output/cascade_rpn/cascade_rpn_r50_fpn_1x/proposals_train2017.npz"
]
dataloader.test.dataset.proposal_files = [
    "output/cascade_rpn/cascade_rpn_r50_fpn_1x/proposals_val2017.npz"
]
train.output_dir = "output/cascade_rpn/cascade_rpn_fast_rcnn_r50_fpn_1x"
