"""COCO 2017 for proposals: single scale 800/1333 and flips as in the papers; average recall."""

import detectron2.data.transforms as T
from detectron2.config import LazyCall as L
from detectron2.data import build_detection_test_loader, get_detection_dataset_dicts
from omegaconf import OmegaConf

from cascade_rpn_d2.data import DatasetMapper, build_train_loader
from cascade_rpn_d2.evaluation import ProposalRecallEvaluator
from cascade_rpn_d2.files.untrusted import MAX_IMAGE_PIXELS

dataloader = OmegaConf.create()

dataloader.train = L(build_train_loader)(
    dataset=L(get_detection_dataset_dicts)(names="coco_2017_train", filter_empty=True),
    mapper=L(DatasetMapper)(
        is_train=True,
        augmentations=[
            L(T.ResizeShortestEdge)(short_edge_length=800, max_size=1333),
            L(T.RandomFlip)(prob=0.5, horizontal=True),
        ],
        image_format="BGR",
        # Two values that become black and white in images of more than 8 bits a channel.
        depth_range=None,
        # Images of more pixels are refused.
        max_pixels=MAX_IMAGE_PIXELS,
        use_instance_mask=False,
    ),
    total_batch_size=16,
    num_workers=4,
)

dataloader.test = L(build_detection_test_loader)(
    dataset=L(get_detection_dataset_dicts)(names="coco_2017_val", filter_empty=False),
    mapper=L(DatasetMapper)(
        is_train=False,
        augmentations=[L(T.ResizeShortestEdge)(short_edge_length=800, max_size=1333)],
        image_format="${...train.mapper.image_format}",
        depth_range="${...train.mapper.depth_range}",
        max_pixels="${...train.mapper.max_pixels}",
    ),
    num_workers=4,
)

dataloader.evaluator = L(ProposalRecallEvaluator)(dataset_name="${..test.dataset.names}")
