"""Average recall of proposals, as the papers' tables give it: COCOeval with ``useCats=0``."""

from __future__ import annotations

import json
import logging
import os
from collections import OrderedDict, defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import pycocotools.mask as mask_util
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets.coco import convert_to_coco_dict
from detectron2.evaluation import DatasetEvaluator
from detectron2.utils import comm
from detectron2.utils.file_io import PathManager
from detectron2.utils.logger import create_small_table

from ..files.untrusted import read_json
from .matching import AREA_RANGES, IOU_THRESHOLDS, count_found

logger = logging.getLogger(__name__)

RESULTS_FILE = "box_proposals_results.json"


class ProposalRecallEvaluator(DatasetEvaluator):
    """Average recall (AR) of box proposals over IoU 0.5:0.05:0.95, in per cent.

    Results are those of COCOeval with ``useCats=0``, but for NaN where that gives -1 and for
    annotations with id 0, which it never finds. Every ground truth of the dataset counts, also on
    images without a proposal and on images never processed; crowd regions neither count nor cost.

    Args:
        dataset_name: a registered dataset; its metadata's ``json_file`` is the ground truth, or
            without one its dataset dicts.
        limits: numbers of proposals per image to look at. Recall by object size is given for the
            smallest, as in the papers (Cascade RPN, section 5.1).
        distributed: collect from all processes. If False, evaluate what this process saw.
        output_dir: folder for ``box_proposals_results.json``; None to write no file.

    Raises:
        ValueError: for limits that are not positive, or a dataset that is not registered.
    """

    def __init__(
        self,
        dataset_name: str,
        limits: Sequence[int] = (100, 300, 1000),
        distributed: bool = True,
        output_dir: str | None = None,
    ) -> None:
        self._limits = sorted({int(limit) for limit in limits})
        if not self._limits or self._limits[0] < 1:
            raise ValueError(f"limits must be positive numbers of proposals, not {list(limits)}.")
        if dataset_name not in DatasetCatalog.list():
            raise ValueError(f"no dataset is registered as {dataset_name!r}: register it first.")
        self._dataset_name = dataset_name
        self._distributed = distributed
        self._output_dir = output_dir
        self._truth: dict[Any, _ImageTruth] | None = None
        self._found: dict[Any, np.ndarray] = {}

    def reset(self) -> None:
        """Forget all proposals. The ground truth is read here, at the first call."""
        self._found = {}
        self._ground_truth()

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

    def evaluate(self) -> OrderedDict | None:
        """Average over the dataset.

        Returns:
            ``{"box_proposals": {"AR@100": ..., "ARs@100": ...}}`` in per cent, NaN where the
            dataset has no object of that size; None in processes other than the first.
        """
        recalls = self.recalls()
        if recalls is None:
            return None
        recall = recalls.mean(axis=2)  # (A, M)
        results = {
            f"AR@{limit}": float(value)
            for limit, value in zip(self._limits, recall[0], strict=True)
        }
        for area, row in zip(list(AREA_RANGES)[1:], recall[1:], strict=True):
            results[f"AR{area[0]}@{self._limits[0]}"] = float(row[0])
        logger.info(
            "Proposals on %s (%d images, %d objects):\n%s",
            *(self._dataset_name, len(self._ground_truth()), self.num_objects),
            create_small_table(results),
        )
        if self._output_dir:
            self._write(results)
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
            self._truth = _load_truth(self._dataset_name)
        return self._truth

    def _write(self, results: dict[str, float]) -> None:
        PathManager.mkdirs(self._output_dir)
        valid = {key: None if np.isnan(value) else value for key, value in results.items()}
        with PathManager.open(os.path.join(self._output_dir or "", RESULTS_FILE), "w") as file:
            json.dump({"dataset": self._dataset_name, "box_proposals": valid}, file, indent=2)


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


def _load_truth(dataset_name: str) -> dict[Any, _ImageTruth]:
    """Ground truth per image id, also for images without an object."""
    json_file = MetadataCatalog.get(dataset_name).get("json_file")
    if json_file is None:
        content = convert_to_coco_dict(dataset_name)
    else:
        if not PathManager.exists(json_file):
            DatasetCatalog.get(dataset_name)  # a dataset that is made on first use
        content = read_json(PathManager.get_local_path(json_file), allow_nan=True)
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
