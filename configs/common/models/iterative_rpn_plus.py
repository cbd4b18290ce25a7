"""Iterative RPN+: the second head is a deformable convolution with learned offsets (Figure 2c)."""

from detectron2.config import LazyCall as L

from cascade_rpn_d2.modeling import LearnedAlignment

from .iterative_rpn import proposal_generator

proposal_generator.stages[1].align = L(LearnedAlignment)(in_channels=256, out_channels=256)
