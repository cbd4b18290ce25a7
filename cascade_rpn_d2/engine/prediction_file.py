"""Predicted boxes as json: as COCO's results, or as a dataset in COCO format."""

from __future__ import annotations

import json
import logging
import os
from typing import Any, Literal, get_args

from detectron2.structures import BoxMode, Instances

from ..data.images import Frame
from ..evaluation.results_file import shortest, write_coco_results
from ..files.atomic import write_atomically
from .categories import Categories
from .output_files import prepare_file
from .predict_inputs import Inputs

logger = logging.getLogger(__name__)

Format = Literal["coco-results", "coco-dataset"]

# What a box of a model without classes is of.
_OBJECT = {"id": 1, "name": "object"}


class PredictionFile:
    """Collects the boxes of frames, and writes them.

    ``coco-results`` is a list of ``image_id``, ``file_name`` (the path that was read), ``frame``
    (of a video, from 0), ``category_id``, ``bbox`` (x, y, width, height in pixels) and ``score``.
    ``coco-dataset`` has ``images``, ``annotations`` with ``score``, and ``categories``, as
    annotation tools import it and :func:`~..data.register_coco_folder` reads it; ``file_name`` is
    relative to ``inputs.root``.

    Args:
        path: the file; its folder is made.
        file_format: one of the two.
        inputs: what is predicted. Images have the ids of its annotation file, or else 1, 2, ....
        categories: the classes of the model, as far as they are known.

    Raises:
        ValueError: for another format, or for videos in a ``coco-dataset``.
        OSError: if the file cannot be written.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        file_format: Format,
        inputs: Inputs,
        categories: Categories,
    ) -> None:
        if file_format not in get_args(Format):
            raise ValueError(
                f"There is no format {file_format!r}: give one of {', '.join(get_args(Format))}."
            )
        videos = [source.path for source in inputs.sources if source.is_video]
        if videos and file_format == "coco-dataset":
            raise ValueError(
                f"The frames of {videos[0]} are no image files, which a coco-dataset is of: give "
                "images alone, or coco-results."
            )
        self.path = prepare_file(path, "boxes.json")
        self.file_format = file_format
        self._inputs = inputs
        self._categories = categories
        self._matched: Categories | None = None
        self._detects = False
        self._images: list[dict[str, Any]] = []
        self._records: list[dict[str, Any]] = []

    def add(self, frame: Frame, instances: Instances) -> None:
        """Take the boxes of a frame.

        Args:
            frame: where they are from.
            instances: ``pred_boxes`` (n, 4) in pixels of the frame, ``scores``, and of a detector
                ``pred_classes``; boxes without classes get the category 1.

        Raises:
            ValueError: if a class of the model is none of the annotation file's.
        """
        ids = self._inputs.image_ids
        image_ids = [len(self._images) + 1] if ids is None else ids[frame.source.path]
        height, width = frame.image.shape[:2]
        name = self._inputs.name_of(frame.source)
        categories = self._category_ids(instances)
        boxes = BoxMode.convert(
            instances.pred_boxes.tensor.numpy(), BoxMode.XYXY_ABS, BoxMode.XYWH_ABS
        )
        scores = shortest(instances.scores.numpy())
        bboxes = [shortest(box) for box in boxes]
        for own in image_ids:
            self._images.append({"id": own, "file_name": name, "width": width, "height": height})
            place: dict[str, Any] = {"image_id": own, "file_name": frame.source.path.as_posix()}
            if frame.source.is_video:
                place["frame"] = frame.index
            self._records += [
                {**place, "category_id": category, "bbox": bbox, "score": score}
                for bbox, category, score in zip(bboxes, categories, scores, strict=True)
            ]

    def write(self) -> None:
        """Write what has been taken.

        Raises:
            OSError: if the file cannot be written.
        """
        if self.file_format == "coco-results":
            write_coco_results(self.path, self._records)
            return
        content = {
            "info": {"description": "Boxes predicted by cascade_rpn_d2"},
            "licenses": [],
            "categories": self._all_categories(),
            "images": self._images,
            "annotations": self._annotations(),
        }
        lines = [
            f'"{key}": [\n' + ",\n".join(map(json.dumps, value)) + "\n]"
            if isinstance(value, list) and value
            else f'"{key}": {json.dumps(value)}'
            for key, value in content.items()
        ]
        text = "{\n" + ",\n".join(lines) + "\n}\n"
        write_atomically(self.path, lambda file: file.write(text.encode()))

    def _annotations(self) -> list[dict[str, Any]]:
        """The records as annotations; a box without area is of no object and cannot be read."""
        found = [r for r in self._records if min(r["bbox"][2:]) > 0]
        return [
            {
                "id": number,
                "image_id": record["image_id"],
                "category_id": record["category_id"],
                "bbox": record["bbox"],
                "area": round(record["bbox"][2] * record["bbox"][3], 3),
                "segmentation": [],
                "iscrowd": 0,
                "score": record["score"],
            }
            for number, record in enumerate(found, start=1)
        ]

    def _category_ids(self, instances: Instances) -> list[int]:
        if not instances.has("pred_classes"):
            return [1] * len(instances)
        self._detects = True
        if self._matched is None:
            self._matched = self._match()
        return [self._matched.id_of(index) for index in instances.pred_classes.tolist()]

    def _match(self) -> Categories:
        """The classes of the model with the ids of the annotation file, if there is one."""
        known, found = self._categories, self._inputs.categories
        if not found.names:
            return known
        if not known.names:
            logger.warning(
                "The model does not tell the names of its classes: they are taken to be those of "
                "the annotation file, in the order of their ids."
            )
            return found
        absent = [name for name in known.names if name not in found.names]
        if absent:
            raise ValueError(
                f"The model finds '{absent[0]}', which is no category of the annotation file: add "
                "it there, or give the folder of the images alone."
            )
        return Categories(
            known.names, tuple(found.id_of(found.names.index(name)) for name in known.names)
        )

    def _all_categories(self) -> list[dict[str, Any]]:
        if not self._detects:
            return [_OBJECT]
        categories = self._inputs.categories if self._inputs.categories.names else self._categories
        stated = categories.stated()
        named = {category["id"] for category in stated}
        others = sorted({r["category_id"] for r in self._records} - named)
        return [*stated, *({"id": i, "name": f"class {i}"} for i in others)]
