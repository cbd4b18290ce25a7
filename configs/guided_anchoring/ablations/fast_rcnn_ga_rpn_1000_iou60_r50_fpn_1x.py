"""Table 7, 1000 proposals of GA-RPN, objects from an IoU of 0.6 on (38.9 AP).

All else is GA-Fast R-CNN's in each of its rows: the paper does not say otherwise.
"""

from ..ga_fast_rcnn_r50_fpn_1x import dataloader, lr_multiplier, model, optimizer, train

for _loader in (dataloader.train, dataloader.test):
    _loader.mapper.precomputed_proposal_topk = 1000
train.output_dir = "output/guided_anchoring/ablations/fast_rcnn_ga_rpn_1000_iou60_r50_fpn_1x"
