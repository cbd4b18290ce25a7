"""RPN with 9 anchors, R-50 FPN, 1x: Table 1 (AR 46.8 / 54.6 / 60.3 on val2017).

Three scales and three aspect ratios on every level.
"""

from .rpn_r50_fpn_1x import dataloader, lr_multiplier, model, optimizer, train

_generator = model.proposal_generator
# Which scales is open: those of RetinaNet, which the paper's vIoU has too (section 3.4).
_generator.anchor_generator.sizes = [
    [size * 2 ** (third / 3) for third in range(3)] for size in (32, 64, 128, 256, 512)
]
_generator.head.num_anchors = 9
train.output_dir = "output/guided_anchoring/rpn_9_anchors_r50_fpn_1x"
