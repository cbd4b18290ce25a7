"""Average recall of proposals, as the papers' tables give it: COCOeval with ``useCats=0``."""

from __future__ import annotations

import logging
import os
from collections import OrderedDict, defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pycocotools.mask as mask_util
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets.coco import convert_to_coco_dict
from detectron2.evaluation import DatasetEvaluator
from detectron2.utils import comm
from detectron2.utils.file_io import PathManager

from ..files.untrusted import read_json
from .matching import AREA_RANGES, IOU_THRESHOLDS, count_found
from .results_file import results_path, shortest, write_coco_results

logger = logging.getLogger(__name__)

RESULTS_FILE = "coco_proposals_results"


class ProposalRecallEvaluator(DatasetEvaluator):
    """Average recall (AR) of box proposals over IoU 0.5:0.05:0.95, in per cent.

    Results are those of COCOeval with ``useCats=0``, but for NaN where that gives -1 and for
    annotations with id 0, which it never finds. Every ground truth of the dataset counts, also on
    images without a proposal and on images never processed; crowd regions neither count nor cost.
    For test images whose file has no ``annotations``, or metadata ``has_annotations=False``, there
    are no results; the proposals are written all the same.

    Args:
        dataset_name: a registered dataset; its metadata's ``json_file`` is the ground truth, or
            without one its dataset dicts.
        limits: numbers of proposals per image to look at. Recall by object size is given for the
            smallest, as in the papers (Cascade RPN, section 5.1).
        distributed: collect from all processes. If False, evaluate what this process saw.
        output_dir: folder for ``coco_proposals_results<suffix>.json``, as many proposals as the
            largest of the limits in the form of COCO's results: ``category_id`` is 1, and ``score``
            the sigmoid of the objectness. None writes none.
        suffix: to the name of that file.

    Raises:
        ValueError: for limits that are not positive, a dataset that is not registered, or a suffix
            with a ``/``.
    """

    def __init__(
        self,
        dataset_name: str,
        limits: Sequence[int] = (100, 300, 1000),
        distributed: bool = True,
        output_dir: str | None = None,
        suffix: str = "",
    ) -> None:
        self._limits = sorted({int(limit) for limit in limits})
        if not self._limits or self._limits[0] < 1:
            raise ValueError(f"limits must be positive numbers of proposals, not {list(limits)}.")
        if dataset_name not in DatasetCatalog.list():
            raise ValueError(f"no dataset is registered as {dataset_name!r}: register it first.")
        self._dataset_name = dataset_name
        self._distributed = distributed
        self._file = results_path(output_dir, RESULTS_FILE, suffix)
        self._truth: dict[Any, _ImageTruth] | None = None
        self._has_annotations = True
        self._found: dict[Any, np.ndarray] = {}
        # To be written: boxes XYWH and logits, (D, 5) float32 of each image.
        self._kept: dict[Any, np.ndarray] = {}

    def reset(self) -> None:
        """Forget all proposals. The ground truth is read here, at the first call."""
        self._found = {}
        self._kept = {}
        self._ground_truth()

    @property
    def has_annotations(self) -> bool:
        """Whether there is something to evaluate against."""
        self._ground_truth()
        return self._has_annotations

    def process(self, inputs: list[dict], outputs: list[dict]) -> None:
        """Match the proposals of some images.

        Args:
            inputs: the model's inputs; of each, ``image_id`` is read.
            outputs: of each, ``proposals``: Instances with ``proposal_boxes`` (XYXY pixels of the
                original image) and ``objectness_logits``.

        Raises:
            ValueError: for an output without ``proposals``, an image that is not in the dataset, or
                boxes or scores that are not finite.
        """
        truth = self._ground_truth()
        for image, output in zip(inputs, outputs, strict=True):
            if "proposals" not in output:
                raise ValueError(
                    f"the model's outputs ({', '.join(output)}) hold no 'proposals': to evaluate "
                    "those inside a detector, wrap it as ProposalsOfDetector(model)."
                )
            image_id = image["image_id"]
            if image_id not in truth:
                raise ValueError(
                    f"image {image_id!r} is not in dataset {self._dataset_name!r}: evaluate with a "
                    "loader of that dataset."
                )
            proposals = output["proposals"]
            boxes = proposals.proposal_boxes.tensor.detach().cpu().numpy().astype(np.float64)
            scores = proposals.objectness_logits.detach().cpu().float().numpy()
            if not (np.isfinite(boxes).all() and np.isfinite(scores).all()):
                raise ValueError(
                    f"the proposals of image {image_id!r} are not finite: the model has diverged, "
                    "go back to an earlier checkpoint."
                )
            boxes[:, 2:] -= boxes[:, :2]  # XYXY -> XYWH
            order = np.argsort(-scores, kind="stable")[: self._limits[-1]]
            self._found[image_id] = truth[image_id].match(boxes[order], self._limits)
            if self._file:
                kept = np.concatenate((boxes[order], scores[order, None]), axis=1)
                self._kept[image_id] = kept.astype(np.float32)

    def evaluate(self) -> OrderedDict | None:
        """Average over the dataset.

        Returns:
            ``{"box_proposals": {"AR@100": ..., "ARs@100": ...}}`` in per cent, NaN where the
            dataset has no object of that size; empty for a dataset without annotations; None in
            processes other than the first.
        """
        self._write()
        recalls = self.recalls()
        if recalls is None:
            return None
        if not self.has_annotations:
            return OrderedDict()
        recall = recalls.mean(axis=2)  # (A, M)
        results = {
            f"AR@{limit}": float(value)
            for limit, value in zip(self._limits, recall[0], strict=True)
        }
        for area, row in zip(list(AREA_RANGES)[1:], recall[1:], strict=True):
            results[f"AR{area[0]}@{self._limits[0]}"] = float(row[0])
        logger.info(
            "Proposals were evaluated on %s: %d images, %d objects.",
            *(self._dataset_name, len(self._ground_truth()), self.num_objects),
        )
        return OrderedDict(box_proposals=results)

    def recalls(self) -> np.ndarray | None:
        """The recall at every IoU threshold, whose averages :meth:`evaluate` returns.

        Returns:
            (A, M, T) in per cent, in the order of ``AREA_RANGES``, of the limits, ascending, and of
            ``IOU_THRESHOLDS``; NaN where the dataset has no object of that size. None in processes
            other than the first.
        """
        truth = self._ground_truth()
        found = self._found
        if self._distributed:
            comm.synchronize()
            gathered = comm.gather(found, dst=0)
            if not comm.is_main_process():
                return None
            found = {image_id: part[image_id] for part in gathered for image_id in part}
        if len(found) < len(truth):
            logger.warning(
                "%d of the %d images of %s were not processed; their objects count as not found.",
                *(len(truth) - len(found), len(truth), self._dataset_name),
            )

        shape = (len(AREA_RANGES), len(self._limits), len(IOU_THRESHOLDS))
        total = sum(found.values(), start=np.zeros(shape, np.int64))  # (A, M, T)
        with np.errstate(invalid="ignore"):  # 0 / 0: no object of that size
            return 100 * (total / self._count_objects()[:, None, None])

    @property
    def num_objects(self) -> int:
        """How many objects the dataset has."""
        return int(self._count_objects()[0])

    def _count_objects(self) -> np.ndarray:
        """Objects in every area range (A,)."""
        return sum(
            (image.counts.sum(axis=1) for image in self._ground_truth().values()),
            start=np.zeros(len(AREA_RANGES), np.int64),
        )

    def _ground_truth(self) -> dict[Any, _ImageTruth]:
        if self._truth is None:
            content = _load_content(self._dataset_name)
            stated = MetadataCatalog.get(self._dataset_name).get("has_annotations")
            self._has_annotations = "annotations" in content if stated is None else stated
            self._truth = _truth_of(content)
        return self._truth

    def _write(self) -> None:
        """Write the proposals of all processes in the first one."""
        if not self._file:
            return
        parts = comm.gather(self._kept, dst=0) if self._distributed else [self._kept]
        if not parts:  # another process than the first
            return
        os.makedirs(os.path.dirname(self._file), exist_ok=True)
        # An image may have been given to several processes, to make their numbers equal.
        kept = {image_id: part[image_id] for part in parts for image_id in part}
        count = write_coco_results(self._file, _records(kept))
        logger.info("%d proposals are written to %s.", count, self._file)


def _records(proposals: dict[Any, np.ndarray]) -> Iterator[dict[str, Any]]:
    for image_id, rows in proposals.items():
        # In float64, where the scores of two proposals are only equal if their logits are.
        scores = 1 / (1 + np.exp(-rows[:, 4].astype(np.float64)))
        for row, score in zip(rows, scores, strict=True):
            bbox = shortest(row[:4])
            yield {"image_id": image_id, "category_id": 1, "bbox": bbox, "score": float(score)}


class _ImageTruth:
    """The objects of one image.

    Args:
        annotations: COCO annotations, in the order in which COCOeval takes them.
    """

    def __init__(self, annotations: list[dict]) -> None:
        self.boxes = np.array([a["bbox"] for a in annotations], np.float64).reshape(-1, 4)  # XYWH
        self.crowd = np.array([bool(a.get("iscrowd", 0)) for a in annotations], bool)
        default = self.boxes[:, 2] * self.boxes[:, 3]
        given = [a.get("area", own) for a, own in zip(annotations, default, strict=True)]
        area = np.array(given, np.float64)
        ranges = np.array(list(AREA_RANGES.values()))  # (A, 2)
        in_range = (area >= ranges[:, :1]) & (area <= ranges[:, 1:])
        self.counts = in_range & ~self.crowd  # (A, G)

    def match(self, boxes: np.ndarray, limits: Sequence[int]) -> np.ndarray:
        """(D, 4) XYWH proposals in order of score -> (A, M, T) objects found."""
        if len(self.boxes) and len(boxes):
            ious = mask_util.iou(boxes, self.boxes, self.crowd.astype(np.uint8))
        else:
            ious = np.zeros((len(boxes), len(self.boxes)))
        return count_found(ious, ~self.counts, self.crowd, limits)


def _load_content(dataset_name: str) -> dict[str, Any]:
    """The annotation file of a dataset, or what it would hold."""
    json_file = MetadataCatalog.get(dataset_name).get("json_file")
    if json_file is None:
        # Which leaves out an empty list of annotations.
        return {"annotations": [], **convert_to_coco_dict(dataset_name)}
    if not PathManager.exists(json_file):
        DatasetCatalog.get(dataset_name)  # a dataset that is made on first use
    return read_json(PathManager.get_local_path(json_file), allow_nan=True)


def _truth_of(content: dict[str, Any]) -> dict[Any, _ImageTruth]:
    """Ground truth per image id, also for images without an object."""
    # COCOeval takes the objects category by category, which decides between equal overlaps; and
    # leaves out those of unknown category.
    per_category: dict = defaultdict(list)
    for annotation in content.get("annotations", []):
        per_category[annotation["image_id"], annotation["category_id"]].append(annotation)
    categories = sorted({category["id"] for category in content["categories"]})
    return {
        image["id"]: _ImageTruth(
            [a for category in categories for a in per_category.get((image["id"], category), [])]
        )
        for image in content["images"]
    }
