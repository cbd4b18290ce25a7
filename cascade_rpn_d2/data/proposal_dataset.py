"""Datasets with precomputed proposals, for LazyConfigs of Fast R-CNN."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path

from detectron2.data import get_detection_dataset_dicts
from detectron2.data.build import (
    check_metadata_consistency,
    filter_images_with_only_crowd_annotations,
)
from detectron2.structures import BoxMode

from .proposal_archive import Index
from .proposal_file import PathLike, read_proposal_index, read_proposals
from .records import read_ahead

logger = logging.getLogger(__name__)


def get_detection_dataset_with_proposals(
    names: str | Sequence[str],
    proposal_files: PathLike | Sequence[PathLike] | None,
    filter_empty: bool = True,
    topk: int | None = None,
    allow_pickle: bool = True,
) -> list[dict]:
    """Detectron2's ``get_detection_dataset_dicts`` with files of proposals that are safe to read.

    The loader's mapper must have ``precomputed_proposal_topk``, or it leaves the proposals alone.

    Args:
        names: of one or more registered datasets.
        proposal_files: one for each dataset, in the same order; see :mod:`.proposal_file`.
        filter_empty: leave out images without annotations. A file may have proposals of them.
        topk: how many proposals of an image are kept, the best; None for all.
        allow_pickle: without effect, as reading Detectron2's pickles runs nothing that is in them;
            configs of version 0.1.0 have it.

    Returns:
        Dataset dicts with ``proposal_boxes`` (n, 4) float32, ``proposal_objectness_logits`` (n,)
        float32, best first, and ``proposal_bbox_mode``. An image may have no proposal at all.

    Raises:
        ValueError: if the numbers of datasets and files differ, if a file cannot be used or is of
            other images with the same ids, or if it lacks an image; says how many it lacks and
            names the first.
        OSError: if a file is not there or cannot be read.
    """
    datasets = pair_with_files(names, proposal_files)
    records = []
    for name, path in datasets:
        # One by one, as Detectron2's list of several would not tell which one an image is of.
        images = get_detection_dataset_dicts(name, filter_empty=filter_empty)
        proposals = read_proposals(path, topk=topk)
        _require_entries(name, path, images, proposals.index)
        for image in images:
            boxes, logits = proposals.of(image["image_id"])
            records.append(
                {
                    **image,
                    "proposal_boxes": boxes,
                    "proposal_objectness_logits": logits,
                    "proposal_bbox_mode": BoxMode.XYXY_ABS,
                }
            )
        logger.info(
            "%d images of %s with proposals from %s, %.0f an image.",
            *(len(images), name, path, len(proposals.boxes) / len(proposals)),
        )
    if len(datasets) > 1:
        try:
            check_metadata_consistency("thing_classes", [name for name, _ in datasets])
        except AttributeError:  # they have no names of classes, which Detectron2 allows
            pass
    return records


def check_proposal_files(
    names: str | Sequence[str],
    proposal_files: PathLike | Sequence[PathLike] | None,
    filter_empty: bool = True,
) -> None:
    """Find out at the start of a run that files do not fit the data it comes to at its end.

    Of a file only the index is read, unless it is a pickle.

    Args:
        names: as of :func:`get_detection_dataset_with_proposals`.
        proposal_files: likewise.
        filter_empty: likewise.

    Raises:
        ValueError, OSError: as :func:`get_detection_dataset_with_proposals`.
    """
    for name, path in pair_with_files(names, proposal_files):
        index = read_proposal_index(path)
        images = read_ahead(name)
        if filter_empty and images and "annotations" in images[0]:
            images = filter_images_with_only_crowd_annotations(images)
        _require_entries(name, path, images, index)


def pair_with_files(
    names: str | Sequence[str], proposal_files: PathLike | Sequence[PathLike] | None
) -> list[tuple[str, str]]:
    """Names of datasets with the path of the file of each.

    Args:
        names: one or several; a LazyConfig hands over a list of its own kind.
        proposal_files: likewise.

    Raises:
        ValueError: if there is not one file for each dataset.
    """
    datasets = [names] if isinstance(names, str) else list(names)
    if isinstance(proposal_files, str | os.PathLike):
        proposal_files = [proposal_files]
    files = [os.fspath(file) for file in proposal_files or ()]
    if not any(files):
        raise ValueError(
            f"No file of proposals is given for {', '.join(datasets)}: write it with "
            "`cascade-rpn dump-proposals` and give it as --train-proposals or --test-proposals "
            "(dataloader.*.dataset.proposal_files)."
        )
    if len(datasets) != len(files):
        raise ValueError(
            f"There are {len(datasets)} datasets but {len(files)} files of proposals: give "
            "proposal_files one file for each of names, in the same order."
        )
    return list(zip(datasets, files, strict=True))


def _require_entries(name: str, path: str, images: list[dict], index: Index) -> None:
    names = [Path(file_name).stem for file_name in index.file_names] or [""] * len(index.ids)
    known = {str(i): stem for i, stem in zip(index.ids, names, strict=True)}
    missing = [image for image in images if str(image["image_id"]) not in known]
    if missing:
        first = missing[0]
        raise ValueError(
            f"{path} has no entry for {len(missing)} of the {len(images)} images of {name}, such "
            f"as {first['file_name']} (image_id {first['image_id']!r}): give the file of this "
            "dataset, or write it with `cascade-rpn dump-proposals`."
        )
    for image in images:
        stem = known[str(image["image_id"])]
        # The splits of a dataset often count their images from 1 each.
        if stem and stem != Path(image["file_name"]).stem:
            raise ValueError(
                f"{path} is of other data than {name}: its image_id {image['image_id']!r} is "
                f"{stem}, not {image['file_name']}; give the file of this dataset, or write it "
                "with `cascade-rpn dump-proposals`."
            )
