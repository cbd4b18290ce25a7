"""Table 7, 300 proposals of GA-RPN, objects from an IoU of 0.5 on (37.5 AP).

All else is GA-Fast R-CNN's in each of its rows: the paper does not say otherwise.
"""

from ..ga_fast_rcnn_r50_fpn_1x import dataloader, lr_multiplier, model, optimizer, train

model.roi_heads.proposal_matcher.thresholds = [0.5]
train.output_dir = "output/guided_anchoring/ablations/fast_rcnn_ga_rpn_300_iou50_r50_fpn_1x"
