"""Fast R-CNN on 1000 proposals of RPN, R-50 FPN, 1x: Table 2 (37.1 AP on test-dev).

As in the released code, detections are kept down to a score of 0.001, of baselines too.
"""

from ..cascade_rpn.fast_rcnn_r50_fpn_1x import dataloader, lr_multiplier, model, optimizer, train

model.roi_heads.box_predictor.test_score_thresh = 0.001
dataloader.train.dataset.proposal_files = [
    "output/guided_anchoring/rpn_r50_fpn_1x/proposals_train2017.npz"
]
dataloader.test.dataset.proposal_files = [
    "output/guided_anchoring/rpn_r50_fpn_1x/proposals_val2017.npz"
]
train.output_dir = "output/guided_anchoring/fast_rcnn_r50_fpn_1x"
