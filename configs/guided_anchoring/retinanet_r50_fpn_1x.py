"""RetinaNet, R-50 FPN, 1x: Table 2's baseline (35.9 AP on test-dev)."""

from ..cascade_rpn.faster_rcnn_r50_fpn_1x import dataloader, lr_multiplier, optimizer, train
from ..common.models.retinanet_fpn import model

# mmdet; the paper states the 0.02 of its other models for all.
optimizer.lr = 0.01
train.output_dir = "output/guided_anchoring/retinanet_r50_fpn_1x"
