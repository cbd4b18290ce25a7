"""CPM R-CNN of three stages with FPN.

Where paper and released code differ, the numbers are those of the code, which made the published
results; its keys are in capitals.
"""

from detectron2.config import LazyCall as L
from detectron2.layers import ShapeSpec
from detectron2.modeling.roi_heads import FastRCNNConvFCHead

from cascade_rpn_d2.modeling import (
    CPMROIHeads,
    GridHead,
    GridStage,
    IoUScoring,
    ResamplingScoring,
)

from .grid_rcnn_fpn import model
from .resnet_fpn import backbone, pixel_mean, pixel_std

model.backbone = backbone
model.pixel_mean = pixel_mean
model.pixel_std = pixel_std

# RPN: STRADDLE_THRESH 0, anchors across the border do not learn, but are matched; an object claims
# its best anchor however little they overlap; growth alone is bounded; smooth L1 with beta 1/9; of
# the proposals 2000 of two images are kept, which is about 1000 of one.
model.proposal_generator.refinement.box_coder.bounds_shrinking = False
model.proposal_generator.refinement.match_across_border = True
model.proposal_generator.refinement.assigner.min_positive_iou = 0.0
model.proposal_generator.refinement.assigner.claims = "label"
model.proposal_generator.post_nms_topk = (1000, 1000)

heads = model.roi_heads
heads._target_ = CPMROIHeads
for pooler in (heads.box_pooler, heads.grid_pooler):
    pooler.pooler_type = "ROIAlign"
    pooler.sampling_ratio = 2
# At most 96 boxes of an image are refined (section 3.4.3); the code has no limit.
heads.box_predictor.test_topk_per_image = 96
heads.max_grid_rois_per_image = 96  # MAX_SAMPLE_NUM_GRID, in training
heads.jitter = 0.0  # RANDOM_JITTER False
heads.grid_stages = [
    L(GridStage)(
        head=L(GridHead)(
            input_shape=L(ShapeSpec)(channels=256, height=14, width=14),
            grid_size=3,
            num_convs=8,
            point_channels=64,
            # FUSED_ON False in all published runs; the paper is silent.
            fusion=False,
            # The layers' own: the released initialisation is never called.
            init="pytorch",
        ),
        mapping_ratio=ratio,  # Table 5; GRID.MAPPING_RATIO is less by 1
        min_iou=iou,  # section 3.4.1
        loss_weight=15.0 * beta,  # section 3.4.2; LOSS_WEIGHT 15
    )
    for ratio, iou, beta in ((2.0, 0.5, 1.0), (1.5, 0.6, 0.5), (1.25, 0.7, 0.25))
]
heads.iou_scoring = L(IoUScoring)(
    input_shape=L(ShapeSpec)(channels=576, height=7, width=7),
    fc_dims=[1024, 1024],
    loss="l2",  # Table 6
    loss_weight=1.0,
)
heads.iou_target = "input"
heads.iou_from_objects = True  # which have an IoU of 1
heads.resampling_scoring = L(ResamplingScoring)(
    head=L(FastRCNNConvFCHead)(
        input_shape=L(ShapeSpec)(channels=256, height=7, width=7),
        conv_dims=[],
        fc_dims=[1024, 1024],
    ),
    num_classes="${..num_classes}",
    batch_size_per_image=512,
    positive_fraction=0.25,
    loss_weight=1.0,
)
heads.resampling_positives = "input"
heads.score_gamma = 0.8  # Figure 7
