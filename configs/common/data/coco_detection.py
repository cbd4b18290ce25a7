"""COCO 2017 for detectors: the same data, average precision."""

from detectron2.config import LazyCall as L

from cascade_rpn_d2.evaluation import DetectionEvaluator

from .coco import dataloader

dataloader.evaluator = L(DetectionEvaluator)(dataset_name="${..test.dataset.names}")
