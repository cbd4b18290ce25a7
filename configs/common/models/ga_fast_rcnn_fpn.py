"""Fast R-CNN with FPN, its ROI heads made for GA-RPN's proposals."""

from .guided_anchoring_rois import model

model.proposal_generator = None
