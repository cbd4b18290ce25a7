"""The other reading of "without feature adaption": a plain 3x3 convolution in its place."""

from detectron2.config import LazyCall as L

from cascade_rpn_d2.modeling import PlainFeatureAdaption

from ..ga_rpn_r50_fpn_1x import dataloader, lr_multiplier, model, optimizer, train

model.proposal_generator.head.adaption = L(PlainFeatureAdaption)(in_channels=256, out_channels=256)
train.output_dir = "output/guided_anchoring/ablations/plain_adaption_r50_fpn_1x"
