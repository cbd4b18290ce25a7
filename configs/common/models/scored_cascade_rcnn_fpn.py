"""Cascade R-CNN of two stages with the scores of CPM R-CNN (Table 3 of that paper).

The paper states none of the numbers; they are those of the released configs. What all models of the
paper have in common is taken from the file of CPM R-CNN.
"""

from detectron2.config import LazyCall as L
from detectron2.layers import ShapeSpec
from detectron2.modeling.box_regression import Box2BoxTransform

from cascade_rpn_d2.modeling import IoUScoring, ScoredCascadeROIHeads

from .cascade_rcnn_fpn import model
from .cpm_rcnn_fpn import model as cpm

model.backbone = cpm.backbone
model.pixel_mean = cpm.pixel_mean
model.pixel_std = cpm.pixel_std
model.proposal_generator = cpm.proposal_generator

heads = model.roi_heads
heads._target_ = ScoredCascadeROIHeads
heads.box_pooler = cpm.roi_heads.box_pooler
heads.proposal_matchers = heads.proposal_matchers[:2]  # IoU 0.5, 0.6
heads.box_heads = heads.box_heads[:2]
heads.box_predictors = heads.box_predictors[:2]
for predictor in heads.box_predictors:
    predictor.box2box_transform._target_ = Box2BoxTransform
heads.stage_loss_weights = [1.0, 0.5]
# Without RSM the loss weight of ISM is 1.5.
heads.iou_scoring = L(IoUScoring)(
    input_shape=L(ShapeSpec)(channels=1024),
    fc_dims=[1024, 1024],
    loss="l2",
    loss_weight=1.0,
)
heads.iou_target = "input"
heads.iou_from_objects = True  # which have an IoU of 1
heads.resampling_scoring = cpm.roi_heads.resampling_scoring
heads.resampling_scoring.loss_weight = 0.2
heads.resampling_positives = "input"
heads.score_gamma = cpm.roi_heads.score_gamma
