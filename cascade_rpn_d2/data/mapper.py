"""Detectron2's dataset mapper, with images from the one place that reads them."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from detectron2.data import DatasetMapper as _DatasetMapper
from detectron2.data import transforms as T
from detectron2.data.detection_utils import check_image_size, transform_proposals

from ..files.untrusted import MAX_IMAGE_PIXELS
from .image_file import ImageReader
from .resize import never_empty


class DatasetMapper(_DatasetMapper):
    """Detectron2's ``DatasetMapper``, with the same arguments and two more.

    As there, crowd annotations are left out of ``instances``. An image of any shape keeps at least
    one pixel a side when its shortest edge is resized.

    Args:
        arguments, options: of Detectron2's mapper.
        depth_range: two values that become black and white in images of more than 8 bits a channel,
            which are refused otherwise.
        max_pixels: images of more pixels are refused.

    Raises:
        UnreadableImageError: when called with an image that cannot be read, or is refused; names
            the file.
        detectron2.data.detection_utils.SizeMismatchError: when the image has another size than its
            annotations say; names the file.
        ValueError: if the range or the limit cannot be meant, or when an augmentation does not suit
            an image; names the file.
    """

    def __init__(
        self,
        *arguments: Any,
        depth_range: Sequence[float] | None = None,
        max_pixels: int = MAX_IMAGE_PIXELS,
        **options: Any,
    ) -> None:
        self.reader = ImageReader(depth_range, max_pixels)
        super().__init__(*arguments, **options)
        steps: T.AugmentationList = self.augmentations
        self.augmentations: T.AugmentationList = T.AugmentationList(never_empty(steps.augs))

    def __call__(self, dataset_dict: dict) -> Any:
        record = copy.deepcopy(dataset_dict)
        image = self.reader(record["file_name"], self.image_format)
        check_image_size(record, image)
        given = T.AugInput(image)
        if "sem_seg_file_name" in record:
            given.sem_seg = self.reader(record.pop("sem_seg_file_name"), "L").squeeze(2)
        try:
            transforms = self.augmentations(given)
        except ValueError as error:
            raise ValueError(f"Cannot augment image {record['file_name']}: {error}") from error
        record["image"] = torch.as_tensor(np.ascontiguousarray(given.image.transpose(2, 0, 1)))
        if given.sem_seg is not None:
            record["sem_seg"] = torch.as_tensor(given.sem_seg.astype("long"))
        size = given.image.shape[:2]
        if self.proposal_topk is not None:
            transform_proposals(record, size, transforms, proposal_topk=self.proposal_topk)
        if not self.is_train:
            record.pop("annotations", None)
        elif "annotations" in record:
            self._transform_annotations(record, transforms, size)
        return record
