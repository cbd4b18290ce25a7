"""Table 6, 1 stage (AR 56.0 / 62.2 / 66.3): stage 1 of Cascade RPN, which scores its boxes."""

from ..cascade_rpn_r50_fpn_1x import dataloader, lr_multiplier, model, optimizer, train

# How the only stage classifies is open: here by the anchor-free metric that it regresses by, on a
# sample of the cells as the last stage of Cascade RPN does.
_first, _second = model.proposal_generator.stages
_first.predictor.objectness = True
_first.sampler = _second.sampler
_first.cls_weight = _second.cls_weight
_first.bridge = False
model.proposal_generator.stages = [_first]
train.output_dir = "output/cascade_rpn/ablations/one_stage_r50_fpn_1x"
