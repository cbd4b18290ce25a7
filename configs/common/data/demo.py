"""The embedded demo dataset. Its images, of 256 pixels in the longer side, stay as they are; own
photographs become as large."""

import detectron2.data.transforms as T
from detectron2.config import LazyCall as L

from .coco import dataloader

_resize = L(T.ResizeShortestEdge)(short_edge_length=256, max_size=256)

dataloader.train.dataset.names = "cascade_rpn_demo_train"
dataloader.train.mapper.augmentations = [_resize, L(T.RandomFlip)(prob=0.5, horizontal=True)]
dataloader.train.total_batch_size = 4
dataloader.train.num_workers = 0
dataloader.test.dataset.names = "cascade_rpn_demo_val"
dataloader.test.mapper.augmentations = [_resize]
dataloader.test.num_workers = 0
