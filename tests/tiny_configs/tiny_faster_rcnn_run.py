"""The tiny detector as a run that the command line trains and evaluates."""

import detectron2.data.transforms as T
from detectron2.config import LazyCall as L
from detectron2.evaluation import COCOEvaluator

from ...configs.common.optim import optimizer  # noqa: F401  (part of this config)
from ...configs.common.schedules import lr_multiplier_1x as lr_multiplier  # noqa: F401
from ...configs.common.train import train
from .tiny_faster_rcnn import dataloader, model  # noqa: F401

dataloader.train.mapper.augmentations = []
dataloader.test.mapper.augmentations = [L(T.ResizeShortestEdge)(short_edge_length=96, max_size=128)]
dataloader.train.num_workers = dataloader.test.num_workers = 0
dataloader.evaluator = L(COCOEvaluator)(dataset_name="${..test.dataset.names}")
train.best_checkpoint.metric = "bbox/AP"
