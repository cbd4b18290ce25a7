"""A detector on the tiny Cascade RPN."""

from .tiny_cascade_rpn import model as proposals
from .tiny_faster_rcnn import dataloader, model  # noqa: F401  (part of this config)

model.proposal_generator = proposals.proposal_generator
