"""A trained Faster R-CNN fine-tuned on GA-RPN's proposals, R-50 FPN, 3 epochs: Table 3 (39.6 AP).

`cascade-rpn finetune` makes the weights that it starts from.
"""

from ..common.schedules import lr_multiplier_finetune as lr_multiplier
from .ga_fast_rcnn_r50_fpn_1x import dataloader, model, optimizer, train

# The paper says of the fine-tuning what its learning rates are; an author adds the IoU of 0.6 and
# the 300 proposals (mmdetection, issue 2444). The rest is open: as in GA-Fast R-CNN, with its
# regression statistics, to which the trained weights are rescaled. All that is trained in a
# detector of this backbone is fine-tuned, not the heads alone.
train.output_dir = "output/guided_anchoring/finetune_faster_rcnn_with_proposals_r50_fpn"
train.init_checkpoint = "${.output_dir}/detector.pth"
train.max_iter = 21_990
