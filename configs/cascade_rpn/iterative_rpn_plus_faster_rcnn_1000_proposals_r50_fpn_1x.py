"""Faster R-CNN on Iterative RPN+, 1000 proposals, R-50 FPN, 1x: not in the paper."""

from .iterative_rpn_plus_faster_rcnn_r50_fpn_1x import (
    dataloader,
    lr_multiplier,
    model,
    optimizer,
    train,
)

# How many the heads are trained with is open; here as many as at test.
model.proposal_generator.post_nms_topk = (1000, 1000)
train.output_dir = "output/cascade_rpn/iterative_rpn_plus_faster_rcnn_1000_proposals_r50_fpn_1x"
