"""Faster R-CNN as its authors define it: VGG-16, one map of stride 16, 9 anchors a cell.

Numbers are from the paper (Ren et al., arXiv:1506.01497) by section. Where it is silent they are
from py-faster-rcnn, the authors' code for joint training, and so marked. Widths follow those of the
backbone.
"""

from detectron2.config import LazyCall as L
from detectron2.layers import ShapeSpec
from detectron2.modeling.anchor_generator import DefaultAnchorGenerator
from detectron2.modeling.matcher import Matcher
from detectron2.modeling.proposal_generator import StandardRPNHead

from cascade_rpn_d2.modeling import InsideAnchorRPN, SymmetricBox2BoxTransform, VGGBoxHead

from .faster_rcnn_fpn import model
from .vgg16 import backbone, pixel_mean, pixel_std

model.backbone = backbone
model.pixel_mean = pixel_mean
model.pixel_std = pixel_std

model.proposal_generator = L(InsideAnchorRPN)(
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
    # Section 3.1.2; each object claims its best anchor besides.
    anchor_matcher=L(Matcher)(
        thresholds=[0.3, 0.7], labels=[0, -1, 1], allow_low_quality_matches=True
    ),
    # Anchors that cross the border of the image are not trained (section 3.3).
    anchor_boundary_thresh=0,
    box2box_transform=L(SymmetricBox2BoxTransform)(weights=[1.0, 1.0, 1.0, 1.0]),
    # Section 3.1.3.
    batch_size_per_image=256,
    positive_fraction=0.5,
    # Detectron2 divides both losses by the 256 samples. The paper divides the regression loss by
    # the number of cells, some 2,400, and multiplies it by lambda = 10, which comes to a weight of
    # 1.07 here; it adds that this could be simplified (section 3.1.2). py-faster-rcnn has 1.
    loss_weight={"loss_rpn_cls": 1.0, "loss_rpn_loc": 1.0},
    smooth_l1_beta=1.0 / 9,  # py-faster-rcnn; the paper refers to Fast R-CNN, which has 1
    # In training and at test. Before NMS: py-faster-rcnn. After it: sections 3.3 and 4.2.
    pre_nms_topk=(12000, 6000),
    post_nms_topk=(2000, 300),
    nms_thresh=0.7,
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
