"""Table 7, 1000 proposals of RPN, objects from an IoU of 0.6 on (37.2 AP).

All else is GA-Fast R-CNN's in each of its rows: the paper does not say otherwise.
"""

from ..ga_fast_rcnn_r50_fpn_1x import dataloader, lr_multiplier, model, optimizer, train

run = "output/guided_anchoring/rpn_r50_fpn_1x"
dataloader.train.dataset.proposal_files = [f"{run}/proposals_train2017.npz"]
dataloader.test.dataset.proposal_files = [f"{run}/proposals_val2017.npz"]
for _loader in (dataloader.train, dataloader.test):
    _loader.mapper.precomputed_proposal_topk = 1000
train.output_dir = "output/guided_anchoring/ablations/fast_rcnn_rpn_1000_iou60_r50_fpn_1x"
