"""Grid R-CNN on Cascade RPN, 300 proposals, R-50 FPN, 2x.

No paper has this. The generator is that of Faster R-CNN on Cascade RPN; all else is Grid R-CNN's.
"""

from ..common.models.cascade_rpn_faster_rcnn_fpn import model as _faster
from .grid_rcnn_r50_fpn_2x import dataloader, lr_multiplier, model, optimizer, train

model.proposal_generator = _faster.proposal_generator
train.output_dir = "output/grid_rcnn/cascade_rpn_grid_rcnn_r50_fpn_2x"
