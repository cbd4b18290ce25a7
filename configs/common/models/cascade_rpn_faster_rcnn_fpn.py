"""Faster R-CNN on Cascade RPN, trained jointly, with the ROI settings of the released configs.

The paper states the IoU of 0.65 and the 300 proposals (section 4.2); the rest is in the released
configs only.
"""

from .cascade_rpn import proposal_generator
from .faster_rcnn_fpn import model

model.proposal_generator = proposal_generator
model.proposal_generator.pre_nms_topk = (2000, 1000)
model.proposal_generator.post_nms_topk = (300, 300)
for stage in model.proposal_generator.stages:
    stage.loc_weight = 7.0  # 0.7 of the weights that proposals alone are trained with
model.proposal_generator.stages[-1].cls_weight = 0.7

model.roi_heads.batch_size_per_image = 256
model.roi_heads.proposal_matcher.thresholds = [0.65]
predictor = model.roi_heads.box_predictor
predictor.box2box_transform.weights = [25.0, 25.0, 12.5, 12.5]  # stds 0.04 0.04 0.08 0.08
predictor.loss_weight = {"loss_cls": 1.5, "loss_box_reg": 1.0}
predictor.test_score_thresh = 0.001
