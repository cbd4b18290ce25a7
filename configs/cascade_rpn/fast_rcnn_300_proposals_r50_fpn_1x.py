"""Fast R-CNN on RPN's proposals, 300 of them, R-50 FPN, 1x: Table 2 (36.6 AP on test-dev)."""

from .fast_rcnn_r50_fpn_1x import dataloader, lr_multiplier, model, optimizer, train

# How many the heads are trained with, and their IoU, are open; here as with 1000 proposals.
dataloader.test.mapper.precomputed_proposal_topk = 300
train.output_dir = "output/cascade_rpn/fast_rcnn_300_proposals_r50_fpn_1x"
