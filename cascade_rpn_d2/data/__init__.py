"""Data: COCO-format folders, the demo dataset, precomputed proposals, a mapper, and a loader that
resumes exactly."""

from .coco_fields import AnnotationFileError
from .coco_folder import find_dataset, num_classes, register_coco_folder
from .demo import register_demo_dataset
from .image_names import allow_outside_images
from .loader import build_train_loader
from .mapper import DatasetMapper, UnreadableImageError
from .opencv_resize import OpenCVResizeShortestEdge
from .proposal_dataset import get_detection_dataset_with_proposals
from .proposal_file import ProposalFile, ProposalFileError, read_proposals, write_proposals

__all__ = [
    "AnnotationFileError",
    "DatasetMapper",
    "OpenCVResizeShortestEdge",
    "ProposalFile",
    "ProposalFileError",
    "UnreadableImageError",
    "allow_outside_images",
    "build_train_loader",
    "find_dataset",
    "get_detection_dataset_with_proposals",
    "num_classes",
    "read_proposals",
    "register_coco_folder",
    "register_demo_dataset",
    "write_proposals",
]
