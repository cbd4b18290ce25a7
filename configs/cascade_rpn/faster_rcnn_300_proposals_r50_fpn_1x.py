"""Faster R-CNN on RPN, 300 proposals, R-50 FPN, 1x: Table 2 (36.9 AP on test-dev)."""

from .faster_rcnn_r50_fpn_1x import dataloader, lr_multiplier, model, optimizer, train

# How many the heads are trained with, and their IoU, are open; here as with 1000 proposals.
model.proposal_generator.post_nms_topk = (2000, 300)
train.output_dir = "output/cascade_rpn/faster_rcnn_300_proposals_r50_fpn_1x"
