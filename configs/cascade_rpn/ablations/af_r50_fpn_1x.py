"""Table 5, AF (AR 55.2 / 61.8 / 66.4): the anchor-free metric in both stages."""

from detectron2.config import LazyCall as L

from cascade_rpn_d2.modeling import RegionAssigner

from .afab_r50_fpn_1x import dataloader, lr_multiplier, model, optimizer, train

# Stage 2 tests the centres of the boxes that stage 1 made, and classifies, on a sample of them as
# in all other rows. The paper says that the thresholds are adapted through the stages, not how:
# here they stay. Edges of regions are rounded to cells, and half as large a centre region would
# have no extent for 45 % of 2,079 objects of train2017 (9 % have none now): no box that moved is
# centred on a line.
_, _second = model.proposal_generator.stages
_second.assigner = L(RegionAssigner)(center_ratio=0.2, ignore_ratio=0.5, anchor_scale=8.0)
train.output_dir = "output/cascade_rpn/ablations/af_r50_fpn_1x"
