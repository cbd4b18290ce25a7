"""What a detector is built of: assignment, sampling, box coding, proposal generators, ROI heads."""

from .assignment import Assignment, IoUAssigner, RegionAssigner, VariableIoUAssigner
from .backbone import VGG16, FPNWithInputs
from .box_coder import BoxCoder, SymmetricBox2BoxTransform
from .box_losses import BoundedIoULoss, IoULoss, SmoothL1Loss
from .feature_adaption import FeatureAdaption, LearnedFeatureAdaption, PlainFeatureAdaption
from .ground_truth import Grid, GroundTruth
from .guided_anchors import LocationLoss
from .proposal_generator import (
    AdaptiveAlignment,
    BoxPredictor,
    CascadeRPN,
    ConvAlignment,
    GuidedAnchorHead,
    GuidedAnchorRPN,
    InsideAnchorRPN,
    LearnedAlignment,
    Stage,
)
from .refinement import Refinement
from .roi_heads import ResamplingCascadeROIHeads, VGGBoxHead
from .sampling import AllSampler, DenseSampler, RandomSampler
from .score_losses import BinaryCrossEntropyLoss, SigmoidFocalLoss

__all__ = [
    "AdaptiveAlignment",
    "AllSampler",
    "Assignment",
    "BinaryCrossEntropyLoss",
    "BoundedIoULoss",
    "BoxCoder",
    "BoxPredictor",
    "CascadeRPN",
    "ConvAlignment",
    "DenseSampler",
    "FPNWithInputs",
    "FeatureAdaption",
    "Grid",
    "GroundTruth",
    "GuidedAnchorHead",
    "GuidedAnchorRPN",
    "InsideAnchorRPN",
    "IoUAssigner",
    "IoULoss",
    "LearnedAlignment",
    "LearnedFeatureAdaption",
    "LocationLoss",
    "PlainFeatureAdaption",
    "RandomSampler",
    "Refinement",
    "RegionAssigner",
    "ResamplingCascadeROIHeads",
    "SigmoidFocalLoss",
    "SmoothL1Loss",
    "Stage",
    "SymmetricBox2BoxTransform",
    "VGG16",
    "VGGBoxHead",
    "VariableIoUAssigner",
]
