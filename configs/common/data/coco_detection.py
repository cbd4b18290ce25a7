"""COCO 2017 for detectors: the same data, average precision."""

from detectron2.config import LazyCall as L
from detectron2.evaluation import COCOEvaluator

from .coco import dataloader

dataloader.evaluator = L(COCOEvaluator)(dataset_name="${..test.dataset.names}")
