"""What a detector is built of: assignment, sampling, box coding, proposal generators, ROI heads.
And detectors in one stage, as wholes, and what wraps a detector at test time."""

from .assignment import Assignment, IoUAssigner, VariableIoUAssigner
from .backbone import VGG16, ZF, DeformBottleneckBlock, FPNWithInputs, LastLevelP6P7WithoutReLU
from .box_coder import BoxCoder, SymmetricBox2BoxTransform
from .box_losses import BoundedIoULoss, IoULoss, SmoothL1Loss
from .feature_adaption import FeatureAdaption, LearnedFeatureAdaption, PlainFeatureAdaption
from .freeze import freeze_parts
from .ground_truth import Grid, GroundTruth
from .guided_anchors import LocationLoss
from .inclusive import (
    InclusiveAnchorGenerator,
    InclusiveBox2BoxTransform,
    InclusiveBoxCoder,
    InclusiveClassPredictor,
    InclusiveRCNN,
    InclusiveROIPooler,
    InclusiveRPN,
)
from .merging import NMSMerge, SoftNMSMerge
from .meta_arch import (
    GuidedAnchorRetinaNet,
    GuidedAnchorRetinaNetHead,
    OriginalSizeProposalNetwork,
    OriginalSizeRCNN,
    ResizedImageList,
)
from .proposal_generator import (
    AdaptiveAlignment,
    BoxPredictor,
    CascadeRPN,
    ConvAlignment,
    GuidedAnchorHead,
    GuidedAnchorRPN,
    LearnedAlignment,
    Stage,
    StandardRPN,
)
from .refinement import Refinement
from .region_assignment import RegionAssigner
from .roi_heads import (
    ClassPredictor,
    CPMROIHeads,
    GridHead,
    GridROIHeads,
    GridStage,
    IoUScoring,
    ResamplingCascadeROIHeads,
    ResamplingScoring,
    ScoredCascadeROIHeads,
    VGGBoxHead,
)
from .sampling import AllSampler, DenseSampler, RandomSampler
from .score_losses import BinaryCrossEntropyLoss, SigmoidFocalLoss
from .tta import AugmentedViews, DetectorWithTTA

__all__ = [
    "AdaptiveAlignment",
    "AllSampler",
    "Assignment",
    "AugmentedViews",
    "BinaryCrossEntropyLoss",
    "BoundedIoULoss",
    "BoxCoder",
    "BoxPredictor",
    "CPMROIHeads",
    "CascadeRPN",
    "ClassPredictor",
    "ConvAlignment",
    "DeformBottleneckBlock",
    "DenseSampler",
    "DetectorWithTTA",
    "FPNWithInputs",
    "FeatureAdaption",
    "Grid",
    "GridHead",
    "GridROIHeads",
    "GridStage",
    "GroundTruth",
    "GuidedAnchorHead",
    "GuidedAnchorRPN",
    "GuidedAnchorRetinaNet",
    "GuidedAnchorRetinaNetHead",
    "InclusiveAnchorGenerator",
    "InclusiveBox2BoxTransform",
    "InclusiveBoxCoder",
    "InclusiveClassPredictor",
    "InclusiveROIPooler",
    "InclusiveRCNN",
    "InclusiveRPN",
    "IoUAssigner",
    "IoULoss",
    "IoUScoring",
    "LastLevelP6P7WithoutReLU",
    "LearnedAlignment",
    "LearnedFeatureAdaption",
    "LocationLoss",
    "NMSMerge",
    "OriginalSizeProposalNetwork",
    "OriginalSizeRCNN",
    "PlainFeatureAdaption",
    "RandomSampler",
    "Refinement",
    "RegionAssigner",
    "ResamplingCascadeROIHeads",
    "ResamplingScoring",
    "ResizedImageList",
    "ScoredCascadeROIHeads",
    "SigmoidFocalLoss",
    "SmoothL1Loss",
    "SoftNMSMerge",
    "Stage",
    "StandardRPN",
    "SymmetricBox2BoxTransform",
    "VGG16",
    "ZF",
    "VGGBoxHead",
    "VariableIoUAssigner",
    "freeze_parts",
]
