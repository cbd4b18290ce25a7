"""The embedded demo dataset: small pictures, taken as they are but for flips."""

import detectron2.data.transforms as T
from detectron2.config import LazyCall as L

from .coco import dataloader

dataloader.train.dataset.names = "cascade_rpn_demo_train"
dataloader.train.mapper.augmentations = [L(T.RandomFlip)(prob=0.5, horizontal=True)]
dataloader.train.total_batch_size = 4
dataloader.train.num_workers = 0
dataloader.test.dataset.names = "cascade_rpn_demo_val"
dataloader.test.mapper.augmentations = []
dataloader.test.num_workers = 0
