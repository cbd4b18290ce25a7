"""Table 3, + Cascade (AR 48.2 / 54.4 / 58.0): two stages, and nothing aligned.

Also the first row of Table 4.
"""

from detectron2.config import LazyCall as L

from cascade_rpn_d2.modeling import ConvAlignment, IoUAssigner, RandomSampler, SmoothL1Loss

from ..cascade_rpn_r50_fpn_1x import dataloader, lr_multiplier, model, optimizer, train

_first, _second = model.proposal_generator.stages
for _stage in (_first, _second):
    # That only the last stage classifies is part of the method (Algorithm 1). Open are the plain
    # convolutions, and that stage 2 reads the features of stage 1 rather than the FPN map: it does
    # in the rows after, here and in the first row of Table 4 too, so that they add alignment alone.
    _stage.align = L(ConvAlignment)(in_channels=256, out_channels=256, dilation=1)
    # As RPN has them, whose stage is repeated here; these values are open too.
    _stage.box_coder.stds = [1.0, 1.0, 1.0, 1.0]
    _stage.box_loss = L(SmoothL1Loss)(beta=1.0 / 9)
    _stage.loc_weight = 1.0
    _stage.sampler = L(RandomSampler)(batch_size_per_image=256, positive_fraction=0.5)
_first.assigner = L(IoUAssigner)(positive_iou=0.7, negative_iou=0.3, min_positive_iou=0.3)
_first.border = 0.0

train.output_dir = "output/cascade_rpn/ablations/cascade_r50_fpn_1x"
