"""Cascade R-CNN on Cascade RPN, trained jointly, with the settings of the authors' config.

The paper (Table 7) states none of them. As in the other configs of this folder, anchors and
RoIAlign are not those of the authors' code; `cascade_rpn_d2.config.use_authors_recipe` changes to
them.
"""

from .cascade_rcnn_fpn import model
from .cascade_rpn import proposal_generator

model.proposal_generator = proposal_generator
# The authors' config asks for 2000 proposals in training, but their code takes those of the test.
model.proposal_generator.pre_nms_topk = (1000, 1000)
model.proposal_generator.post_nms_topk = (1000, 1000)
for stage in model.proposal_generator.stages:
    stage.loc_weight = 7.0  # 0.7 of the weights that proposals alone are trained with
model.proposal_generator.stages[-1].cls_weight = 0.7

first, second, third = model.roi_heads.proposal_matchers
first.thresholds, second.thresholds, third.thresholds = [0.55], [0.65], [0.75]
for predictor in model.roi_heads.box_predictors:
    # stds 0.04 0.04 0.08 0.08, the same in all stages
    predictor.box2box_transform.weights = [25.0, 25.0, 12.5, 12.5]
    predictor.loss_weight = {"loss_cls": 1.5, "loss_box_reg": 1.0}
    predictor.test_score_thresh = 0.001
    predictor.test_nms_thresh = 0.6
