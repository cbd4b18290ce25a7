"""Heads that classify and refine the proposals of a detector."""

from .box_stream import BoxStream
from .cascade_rcnn import ResamplingCascadeROIHeads
from .class_predictor import ClassPredictor
from .cpm_rcnn import CPMROIHeads
from .fused_scoring import FusedScoring
from .grid_head import GridHead, GridPrediction
from .grid_rcnn import GridROIHeads, GridStep
from .grid_stage import GridStage
from .scored_cascade import ScoredCascadeROIHeads
from .scoring import IoUScoring, ResamplingScoring, ScoreParts, fuse_scores
from .vgg_box_head import VGGBoxHead

__all__ = [
    "BoxStream",
    "CPMROIHeads",
    "ClassPredictor",
    "FusedScoring",
    "GridHead",
    "GridPrediction",
    "GridROIHeads",
    "GridStage",
    "GridStep",
    "IoUScoring",
    "ResamplingCascadeROIHeads",
    "ResamplingScoring",
    "ScoreParts",
    "ScoredCascadeROIHeads",
    "VGGBoxHead",
    "fuse_scores",
]
