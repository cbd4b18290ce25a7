"""Fast R-CNN on Iterative RPN's proposals, 1000 of them, R-50 FPN, 1x: not in the paper."""

from .iterative_rpn_fast_rcnn_r50_fpn_1x import dataloader, lr_multiplier, model, optimizer, train

# How many the heads are trained with is open; here as many as at test.
dataloader.train.mapper.precomputed_proposal_topk = 1000
dataloader.test.mapper.precomputed_proposal_topk = 1000
train.output_dir = "output/cascade_rpn/iterative_rpn_fast_rcnn_1000_proposals_r50_fpn_1x"
