"""Section 4.3, vIoU by 3 shapes (AR1000 68.3): which three is open, here the ratios of one size."""

from ..ga_rpn_r50_fpn_1x import dataloader, lr_multiplier, model, optimizer, train

model.proposal_generator.shape.assigner.octave_scales = [1.0]
train.output_dir = "output/guided_anchoring/ablations/viou_3_shapes_r50_fpn_1x"
