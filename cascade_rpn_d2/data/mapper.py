"""Detectron2's dataset mapper, with an error that names the image file that cannot be read."""

from __future__ import annotations

from typing import Any

from detectron2.data import DatasetMapper as _DatasetMapper
from detectron2.data import detection_utils


class UnreadableImageError(OSError):
    """An image file is missing, truncated or not an image. The message names it."""


class DatasetMapper(_DatasetMapper):
    """Detectron2's ``DatasetMapper``, with the same arguments.

    As there, crowd annotations are left out of ``instances``.

    Raises:
        UnreadableImageError: when called with an image that cannot be read; names the file.
        detectron2.data.detection_utils.SizeMismatchError: when the image has another size than its
            annotations say; names the file.
    """

    def __call__(self, dataset_dict: dict) -> Any:
        try:
            return super().__call__(dataset_dict)
        except Exception:
            # A broken file makes Pillow raise nearly anything; reading it alone tells whether it
            # was the file.
            self._read(dataset_dict["file_name"])
            raise

    def _read(self, file_name: str) -> None:
        try:
            detection_utils.read_image(file_name, format=self.image_format)
        except Exception as error:
            raise UnreadableImageError(
                f"cannot read image {file_name} ({error}): replace the file, or remove the image "
                "from the annotation file."
            ) from error
