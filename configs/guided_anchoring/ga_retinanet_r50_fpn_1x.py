"""GA-RetinaNet, R-50 FPN, 1x: Table 2 (37.1 AP on test-dev)."""

from ..common.models.ga_retinanet_fpn import model
from .retinanet_r50_fpn_1x import dataloader, lr_multiplier, optimizer, train

train.output_dir = "output/guided_anchoring/ga_retinanet_r50_fpn_1x"
