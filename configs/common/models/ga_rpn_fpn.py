"""Proposals only: ResNet-50 FPN and GA-RPN."""

from .ga_rpn import proposal_generator
from .rpn_fpn import model

model.proposal_generator = proposal_generator
model.proposal_generator.propose_in_training = False
