"""Table 7, 1000 proposals of GA-RPN, objects from an IoU of 0.5 on (37.4 AP).

All else is GA-Fast R-CNN's in each of its rows: the paper does not say otherwise.
"""

from ..ga_fast_rcnn_r50_fpn_1x import dataloader, lr_multiplier, model, optimizer, train

for _loader in (dataloader.train, dataloader.test):
    _loader.mapper.precomputed_proposal_topk = 1000
model.roi_heads.proposal_matcher.thresholds = [0.5]
train.output_dir = "output/guided_anchoring/ablations/fast_rcnn_ga_rpn_1000_iou50_r50_fpn_1x"
