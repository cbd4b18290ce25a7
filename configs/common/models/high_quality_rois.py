"""Faster R-CNN whose ROI heads make use of better proposals than RPN's (Cascade RPN, section 5.2).

The paper states the IoU of 0.65 and the 300 proposals; the rest is in the released configs only.
"""

from .faster_rcnn_fpn import model

model.roi_heads.batch_size_per_image = 256
model.roi_heads.proposal_matcher.thresholds = [0.65]
predictor = model.roi_heads.box_predictor
predictor.box2box_transform.weights = [25.0, 25.0, 12.5, 12.5]  # stds 0.04 0.04 0.08 0.08
predictor.loss_weight = {"loss_cls": 1.5, "loss_box_reg": 1.0}
predictor.test_score_thresh = 0.001
