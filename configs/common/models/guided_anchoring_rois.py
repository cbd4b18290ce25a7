"""Faster R-CNN whose ROI heads make use of GA-RPN's proposals (Guided Anchoring, section 3.5).

The paper states the IoU of 0.6 and the 300 proposals; the rest is in the released configs only. The
box loss stays that of the baselines, smooth L1 with beta 1, as in the authors' configs of 2019: L1,
which mmdet >= 2.0 has here, would make another comparison.
"""

from .faster_rcnn_fpn import model

model.roi_heads.batch_size_per_image = 256
model.roi_heads.proposal_matcher.thresholds = [0.6]
predictor = model.roi_heads.box_predictor
predictor.box2box_transform.weights = [20.0, 20.0, 10.0, 10.0]  # stds 0.05 0.05 0.1 0.1
predictor.test_score_thresh = 0.001
