"""Faster R-CNN, R-50 FPN, 1x: Tables 2 and 3 (37.1 AP on test-dev).

As in the released code, detections are kept down to a score of 0.001, of baselines too.
"""

from ..cascade_rpn.faster_rcnn_r50_fpn_1x import dataloader, lr_multiplier, model, optimizer, train

model.roi_heads.box_predictor.test_score_thresh = 0.001
train.output_dir = "output/guided_anchoring/faster_rcnn_r50_fpn_1x"
