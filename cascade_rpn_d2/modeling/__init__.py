"""What a detector is built of: assignment, sampling, box coding, proposal generators, ROI heads."""

from .assignment import Assignment, IoUAssigner, RegionAssigner
from .box_coder import BoxCoder, SymmetricBox2BoxTransform
from .box_losses import IoULoss, SmoothL1Loss
from .ground_truth import Grid, GroundTruth
from .proposal_generator import (
    AdaptiveAlignment,
    BoxPredictor,
    CascadeRPN,
    ConvAlignment,
    LearnedAlignment,
    Stage,
)
from .roi_heads import ResamplingCascadeROIHeads
from .sampling import AllSampler, RandomSampler

__all__ = [
    "AdaptiveAlignment",
    "AllSampler",
    "Assignment",
    "BoxCoder",
    "BoxPredictor",
    "CascadeRPN",
    "ConvAlignment",
    "Grid",
    "GroundTruth",
    "IoUAssigner",
    "IoULoss",
    "LearnedAlignment",
    "RandomSampler",
    "RegionAssigner",
    "ResamplingCascadeROIHeads",
    "SmoothL1Loss",
    "Stage",
    "SymmetricBox2BoxTransform",
]
