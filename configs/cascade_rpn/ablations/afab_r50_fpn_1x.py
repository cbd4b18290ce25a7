"""Table 3, + AFAB (AR 57.3 / 64.2 / 68.6): the anchor-free metric in stage 1.

Also AFAB of Table 5.
"""

from detectron2.config import LazyCall as L

from cascade_rpn_d2.modeling import AllSampler, RegionAssigner

from .align_r50_fpn_1x import dataloader, lr_multiplier, model, optimizer, train

_first, _ = model.proposal_generator.stages
_first.assigner = L(RegionAssigner)(center_ratio=0.2, ignore_ratio=0.5, anchor_scale=8.0)
_first.sampler = L(AllSampler)()
del _first.border  # as released: anchors learn wherever their edges are
train.output_dir = "output/cascade_rpn/ablations/afab_r50_fpn_1x"
