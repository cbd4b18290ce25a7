"""CPM R-CNN on Cascade RPN, 300 proposals, R-50 FPN, 2x.

No paper has this. The generator is that of Faster R-CNN on Cascade RPN; all else is CPM R-CNN's.
"""

from ..common.models.cascade_rpn_faster_rcnn_fpn import model as _faster
from .cpm_rcnn_r50_fpn_2x import dataloader, lr_multiplier, model, optimizer, train

model.proposal_generator = _faster.proposal_generator
train.output_dir = "output/cpm_rcnn/cascade_rpn_cpm_rcnn_r50_fpn_2x"
