"""Proposal generators: sequences of stages, and the parts a stage is made of."""

from .alignment import AdaptiveAlignment, ConvAlignment, LearnedAlignment
from .cascade_rpn import CascadeRPN, StageStep
from .guided_anchor_head import GuidedAnchorHead
from .guided_anchor_rpn import GuidedAnchorRPN
from .predictor import BoxPredictor
from .stage import Stage, StageState
from .standard_rpn import StandardRPN

__all__ = [
    "AdaptiveAlignment",
    "BoxPredictor",
    "CascadeRPN",
    "ConvAlignment",
    "GuidedAnchorHead",
    "GuidedAnchorRPN",
    "LearnedAlignment",
    "Stage",
    "StageState",
    "StageStep",
    "StandardRPN",
]
