"""The small backbone with the baseline RPN, for images of about 256 px."""

from detectron2.config import LazyCall as L
from detectron2.modeling.meta_arch import ProposalNetwork

from .rpn import proposal_generator
from .small_fpn import backbone, pixel_mean, pixel_std

model = L(ProposalNetwork)(
    backbone=backbone,
    proposal_generator=proposal_generator,
    pixel_mean=pixel_mean,
    pixel_std=pixel_std,
)
generator = model.proposal_generator
generator.head.in_channels = 64
# Objects are a fraction as large as in COCO, and so are the anchors: 4 strides instead of 8.
generator.anchor_generator.sizes = [[16], [32], [64], [128], [256]]
generator.pre_nms_topk = (1000, 1000)
generator.post_nms_topk = (1000, 1000)
