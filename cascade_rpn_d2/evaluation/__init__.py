"""Evaluation: average recall of proposals."""

from .detector_proposals import ProposalsOfDetector
from .proposal_recall import ProposalRecallEvaluator

__all__ = ["ProposalRecallEvaluator", "ProposalsOfDetector"]
