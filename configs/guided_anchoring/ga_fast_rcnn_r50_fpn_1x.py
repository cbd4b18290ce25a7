"""Fast R-CNN on GA-RPN's proposals, 300 of them, R-50 FPN, 1x: Table 2 (39.4 AP on test-dev)."""

from ..common.data.coco_proposals import dataloader
from ..common.models.ga_fast_rcnn_fpn import model
from .faster_rcnn_r50_fpn_1x import lr_multiplier, optimizer, train

dataloader.train.dataset.proposal_files = [
    "output/guided_anchoring/ga_rpn_r50_fpn_1x/proposals_train2017.npz"
]
dataloader.test.dataset.proposal_files = [
    "output/guided_anchoring/ga_rpn_r50_fpn_1x/proposals_val2017.npz"
]
train.output_dir = "output/guided_anchoring/ga_fast_rcnn_r50_fpn_1x"
