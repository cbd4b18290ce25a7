"""Section 4.3, vIoU by 15 shapes (AR1000 68.5): which is open, here five sizes an octave."""

from ..ga_rpn_r50_fpn_1x import dataloader, lr_multiplier, model, optimizer, train

model.proposal_generator.shape.assigner.octave_scales = [2 ** (i / 5) for i in range(5)]
train.output_dir = "output/guided_anchoring/ablations/viou_15_shapes_r50_fpn_1x"
