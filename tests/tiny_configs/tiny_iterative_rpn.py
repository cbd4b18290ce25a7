"""As the tiny Cascade RPN, but with learned offsets in stage 2 (Iterative RPN+)."""

from detectron2.config import LazyCall as L

from cascade_rpn_d2.modeling import LearnedAlignment

from .tiny_cascade_rpn import dataloader, model  # noqa: F401  (part of this config)

model.proposal_generator.stages[1].align = L(LearnedAlignment)(in_channels=64, out_channels=64)
