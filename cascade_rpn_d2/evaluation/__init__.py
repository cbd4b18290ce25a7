"""Evaluation: average recall of proposals, average precision of detectors."""

from .detection import DetectionEvaluator
from .detector_proposals import ProposalsOfDetector
from .proposal_recall import ProposalRecallEvaluator

__all__ = ["DetectionEvaluator", "ProposalRecallEvaluator", "ProposalsOfDetector"]
