"""Proposal generators: sequences of stages, and the parts a stage is made of."""

from .alignment import AdaptiveAlignment, ConvAlignment, LearnedAlignment
from .cascade_rpn import CascadeRPN, StageStep
from .guided_anchor_head import GuidedAnchorHead
from .guided_anchor_rpn import GuidedAnchorRPN
from .inside_anchor_rpn import InsideAnchorRPN
from .predictor import BoxPredictor
from .stage import Stage, StageState

__all__ = [
    "AdaptiveAlignment",
    "BoxPredictor",
    "CascadeRPN",
    "ConvAlignment",
    "GuidedAnchorHead",
    "GuidedAnchorRPN",
    "InsideAnchorRPN",
    "LearnedAlignment",
    "Stage",
    "StageState",
    "StageStep",
]
