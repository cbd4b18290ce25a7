"""Fast R-CNN with FPN: the baseline's detector on proposals that come with the data."""

from .faster_rcnn_fpn import model

model.proposal_generator = None
