"""A trained Faster R-CNN fine-tuned on RPN's proposals, R-50 FPN, 3 epochs: Table 3 (37.3 AP)."""

from .finetune_faster_rcnn_with_proposals_r50_fpn import (
    dataloader,
    lr_multiplier,
    model,
    optimizer,
    train,
)

run = "output/guided_anchoring/rpn_r50_fpn_1x"
dataloader.train.dataset.proposal_files = [f"{run}/proposals_train2017.npz"]
dataloader.test.dataset.proposal_files = [f"{run}/proposals_val2017.npz"]
train.output_dir = "output/guided_anchoring/finetune_faster_rcnn_with_rpn_proposals_r50_fpn"
