"""Faster R-CNN as its authors define it: VGG-16, one map of stride 16, 9 anchors a cell.

Numbers are from the paper (Ren et al., arXiv:1506.01497) by section. Where it is silent they are
from py-faster-rcnn, the authors' code for joint training, and so marked. Widths follow those of the
backbone.
"""

from detectron2.config import LazyCall as L
from detectron2.layers import ShapeSpec
from detectron2.modeling.anchor_generator import DefaultAnchorGenerator
from detectron2.modeling.proposal_generator import StandardRPNHead

from cascade_rpn_d2.modeling import (
    BoxCoder,
    IoUAssigner,
    OriginalSizeRCNN,
    RandomSampler,
    Refinement,
    SmoothL1Loss,
    StandardRPN,
    VGGBoxHead,
)

from .faster_rcnn_fpn import model
from .vgg16 import backbone, pixel_mean, pixel_std

model._target_ = OriginalSizeRCNN  # which tells the RPN how large that was
model.backbone = backbone
model.pixel_mean = pixel_mean
model.pixel_std = pixel_std

model.proposal_generator = L(StandardRPN)(
    in_features=["conv5"],
    # A 3x3 convolution as wide as the map, 512 (section 3.1).
    head=L(StandardRPNHead)(in_channels="${...backbone.widths.4}", num_anchors=9),
    anchor_generator=L(DefaultAnchorGenerator)(
        # Section 3.3. For COCO the authors add the scale 64, which makes 12 anchors (section 4.2).
        sizes=[[128, 256, 512]],
        aspect_ratios=[0.5, 1.0, 2.0],
        strides=[16],
        # In the middle of the 16 px that a cell is pooled from (py-faster-rcnn).
        offset=0.5,
    ),
    refinement=L(Refinement)(
        box_coder=L(BoxCoder)(stds=[1.0, 1.0, 1.0, 1.0]),
        # Section 3.1.2; each object claims its best anchor besides, if they overlap at all. In
        # py-faster-rcnn one that overlaps none claims all of those.
        assigner=L(IoUAssigner)(
            positive_iou=0.7, negative_iou=0.3, min_positive_iou=1e-6, claims="label"
        ),
        # Section 3.1.3.
        sampler=L(RandomSampler)(batch_size_per_image=256, positive_fraction=0.5),
        box_loss=L(SmoothL1Loss)(
            beta=1.0 / 9  # py-faster-rcnn; the paper refers to Fast R-CNN, which has 1
        ),
        # Both losses are divided by the 256 samples. The paper divides the regression loss by the
        # number of cells, some 2,400, and multiplies it by lambda = 10, which comes to a weight of
        # 1.07 here; it adds that this could be simplified (section 3.1.2). py-faster-rcnn has 1.
        loc_weight=1.0,
        cls_weight=1.0,
        border=0.0,  # anchors that cross the border of the image are not trained (section 3.3)
    ),
    size_divisibility=16,  # of the backbone
    # In training and at test. Before NMS: py-faster-rcnn. After it: sections 3.3 and 4.2.
    pre_nms_topk=(12000, 6000),
    post_nms_topk=(2000, 300),
    nms_thresh=0.7,
    # Smaller proposals are dropped, in pixels of the image before it is resized (py-faster-rcnn).
    min_original_size=16.0,
)

heads = model.roi_heads
heads.batch_size_per_image = 128  # py-faster-rcnn
heads.box_in_features = ["conv5"]
heads.box_pooler.scales = (1.0 / 16,)
# The original's: the maximum of each of 7x7 sub-windows, whose edges are rounded to cells.
heads.box_pooler.pooler_type = "ROIPool"
heads.box_head = L(VGGBoxHead)(
    input_shape=L(ShapeSpec)(channels="${....backbone.widths.4}", height=7, width=7),
    fc_dims=[4096, 4096],
    # As VGG-16, and as py-faster-rcnn for PASCAL VOC; for COCO it has none.
    dropout=0.5,
)
heads.box_predictor.input_shape.channels = "${...box_head.fc_dims.1}"
heads.box_predictor.test_nms_thresh = 0.3  # py-faster-rcnn
