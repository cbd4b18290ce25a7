"""Fast R-CNN on the 300 proposals of GA-RPN, R-101 FPN, 1x."""

from cascade_rpn_d2.config import use_trunk

from ..common.trunks.resnet101 import trunk as _trunk
from .ga_fast_rcnn_r50_fpn_1x import dataloader, lr_multiplier, model, optimizer, train

use_trunk(_trunk, model, dataloader, train)
run = "output/guided_anchoring/ga_rpn_r101_fpn_1x"
dataloader.train.dataset.proposal_files = [f"{run}/proposals_train2017.npz"]
dataloader.test.dataset.proposal_files = [f"{run}/proposals_val2017.npz"]
train.output_dir = "output/guided_anchoring/ga_fast_rcnn_r101_fpn_1x"
