"""COCO 2017 for detectors on precomputed proposals: the same data, 300 proposals an image."""

from detectron2.config import LazyCall as L

from cascade_rpn_d2.data import get_detection_dataset_with_proposals

from .coco_detection import dataloader

for loader in (dataloader.train, dataloader.test):
    # In training and testing alike (Cascade RPN, section 5.2).
    loader.mapper.precomputed_proposal_topk = 300
    loader.dataset = L(get_detection_dataset_with_proposals)(
        names=loader.dataset.names,
        # A file for each dataset, which an experiment names, of `cascade-rpn dump-proposals`.
        proposal_files=None,
        filter_empty=loader.dataset.filter_empty,
        topk="${..mapper.precomputed_proposal_topk}",
    )
