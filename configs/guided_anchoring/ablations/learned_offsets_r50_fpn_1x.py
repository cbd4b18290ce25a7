"""Section 4.3, a plain deformable convolution (AR 56.1 / 62.4 / 66.1): its offsets are learned from
the features, whatever the anchors are.

Open: how they are predicted; here as Deformable ConvNets have it.
"""

from detectron2.config import LazyCall as L

from cascade_rpn_d2.modeling import LearnedFeatureAdaption

from ..ga_rpn_r50_fpn_1x import dataloader, lr_multiplier, model, optimizer, train

model.proposal_generator.head.adaption = L(LearnedFeatureAdaption)(
    in_channels=256, out_channels=256, offset_groups=4
)
train.output_dir = "output/guided_anchoring/ablations/learned_offsets_r50_fpn_1x"
