"""Data: COCO-format folders, the demo dataset, a mapper, and a loader that resumes exactly."""

from .coco_file import AnnotationFileError
from .coco_folder import num_classes, register_coco_folder
from .demo import register_demo_dataset
from .loader import build_train_loader
from .mapper import DatasetMapper, UnreadableImageError

__all__ = [
    "AnnotationFileError",
    "DatasetMapper",
    "UnreadableImageError",
    "build_train_loader",
    "num_classes",
    "register_coco_folder",
    "register_demo_dataset",
]
