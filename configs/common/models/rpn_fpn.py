"""Proposals only: ResNet-50 FPN and the baseline RPN."""

from detectron2.config import LazyCall as L
from detectron2.modeling.meta_arch import ProposalNetwork

from .resnet_fpn import backbone, pixel_mean, pixel_std
from .rpn import proposal_generator

model = L(ProposalNetwork)(
    backbone=backbone,
    proposal_generator=proposal_generator,
    pixel_mean=pixel_mean,
    pixel_std=pixel_std,
)
model.proposal_generator.propose_in_training = False
