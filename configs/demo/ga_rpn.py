"""The demo's GA-RPN: all as for the baseline but the proposal generator."""

from ..common.models.demo_ga_rpn import model
from .rpn import dataloader, lr_multiplier, optimizer, train

train.output_dir = "output/demo/ga_rpn"
