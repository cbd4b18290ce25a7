"""The demo's Cascade RPN: all as for the baseline but the proposal generator."""

from ..common.models.demo_cascade_rpn import model
from .rpn import dataloader, lr_multiplier, optimizer, train

train.output_dir = "output/demo/cascade_rpn"
