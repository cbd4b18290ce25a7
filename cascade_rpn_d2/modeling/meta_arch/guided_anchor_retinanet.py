"""GA-RetinaNet: one anchor a cell, in the shape that objects there may have (Guided Anchoring).

Shape shorthand: ``N`` images, ``L`` levels, ``K`` classes, ``Hi, Wi`` cells of level i, ``S`` cells
and anchors an image: the sum of ``Hi*Wi``, ``M`` active cells of the batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from detectron2.config import CfgNode, configurable
from detectron2.modeling import META_ARCH_REGISTRY, Backbone
from detectron2.modeling.anchor_generator import DefaultAnchorGenerator
from detectron2.modeling.meta_arch.dense_detector import DenseDetector
from detectron2.modeling.roi_heads.fast_rcnn import fast_rcnn_inference
from detectron2.structures import ImageList, Instances
from torch import Tensor

from ..anchors import pyramid_anchors
from ..ground_truth import (
    Grid,
    GroundTruth,
    count_own_cells,
    grids_of,
    image_sizes_of,
    own_cells,
    valid_cells,
)
from ..guided_anchors import (
    ActiveCells,
    Activity,
    GuidedAnchors,
    LocationLoss,
    decode_anchors,
    flatten_cells,
    have_anchors,
    shape_deltas,
    share_of,
)
from ..refinement import Prediction, Refinement
from ..statistics import put_statistics
from .guided_anchor_retinanet_head import GuidedAnchorRetinaNetHead, Towers
from .yacs import guided_retinanet_from_config


@META_ARCH_REGISTRY.register()
class GuidedAnchorRetinaNet(DenseDetector):
    """RetinaNet with guided anchors (Wang et al., CVPR 2019, Table 2).

    The losses are ``loss_cls`` and ``loss_box_reg``, as those of Detectron2's RetinaNet, and
    ``loss_anchor_loc`` and ``loss_anchor_shape``. The event storage receives
    ``retinanet/active_share`` (of the cells, those that would be active at test), and of shapes and
    of detections ``retinanet/anchor_num_pos`` and ``retinanet/num_pos`` (positives an image) and
    ``retinanet/anchor_iou`` and ``retinanet/iou`` (mean IoU with their targets).

    While training all cells take part. At test those do whose location probability reaches the
    threshold: predictions are evaluated there alone, and deformable convolutions there and in the
    cells next to them. ``activity`` counts them.

    Args:
        backbone: makes the feature maps.
        head: the layers.
        head_in_features: names of the L maps to read, finest first; all of the backbone by default.
        anchor_generator: makes the squares whose shape is predicted, one a cell.
        refinement: what deltas and class logits make of the anchors, and their losses.
        shape: the same for what the shape branch makes of the squares.
        location_loss: trains the location branch.
        num_classes: K.
        location_threshold: least probability of an object's centre in an active cell (epsilon L).
        sparse: compute the active cells alone at test. To compute all and leave out the rest gives
            the same, but for rounding, and takes longer unless most cells are active.
        test_score_thresh: detections have a higher score.
        test_topk_candidates: anchors kept per level, by their best class, before NMS.
        test_nms_thresh: IoU above which the lower of two detections of a class is suppressed.
        max_detections_per_image: detections kept per image.
        propose_in_padding: let cells detect that exist for a larger image of the batch alone, as
            mmdet does: what is found in an image then depends on the images beside it.
        pixel_mean: subtracted from the channels of an image.
        pixel_std: by which they are divided then.
        log_period: iterations between two looks at the statistics, as each makes the host wait for
            the device; the default is that of ``train.log_period``, between two lines of metrics.

    Raises:
        ValueError: if the parts do not fit together.
    """

    @configurable
    def __init__(
        self,
        *,
        backbone: Backbone,
        head: GuidedAnchorRetinaNetHead,
        head_in_features: Sequence[str] | None = None,
        anchor_generator: DefaultAnchorGenerator,
        refinement: Refinement,
        shape: Refinement,
        location_loss: LocationLoss,
        num_classes: int,
        location_threshold: float = 0.01,
        sparse: bool = True,
        test_score_thresh: float = 0.05,
        test_topk_candidates: int = 1000,
        test_nms_thresh: float = 0.5,
        max_detections_per_image: int = 100,
        propose_in_padding: bool = False,
        pixel_mean: Sequence[float],
        pixel_std: Sequence[float],
        log_period: int = 20,
    ):
        super().__init__(
            backbone,
            head,
            None if head_in_features is None else list(head_in_features),
            pixel_mean=list(pixel_mean),
            pixel_std=list(pixel_std),
        )
        self.anchor_generator: DefaultAnchorGenerator = anchor_generator
        self.refinement = refinement
        self.shape = shape
        self.location_loss = location_loss
        self.num_classes = num_classes
        self.location_threshold = location_threshold
        self.sparse = sparse
        self.test_score_thresh = test_score_thresh
        self.test_topk_candidates = test_topk_candidates
        self.test_nms_thresh = test_nms_thresh
        self.max_detections_per_image = max_detections_per_image
        self.propose_in_padding = propose_in_padding
        self.log_period = log_period
        self.activity = Activity()
        if head.num_classes != num_classes:
            raise ValueError(
                f"The head predicts {head.num_classes} classes, but the model is to have "
                f"{num_classes}."
            )
        if set(anchor_generator.num_anchors) != {1}:
            raise ValueError(
                f"One shape a cell is predicted, not {anchor_generator.num_anchors} on the levels: "
                "give an anchor generator with one size and one aspect ratio a level."
            )

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Arguments from yacs keys, see :func:`cascade_rpn_d2.config.add_cascade_rpn_config`."""
        return guided_retinanet_from_config(cfg)

    def forward_training(
        self,
        images: ImageList,
        features: Sequence[Tensor],
        predictions: Towers,
        gt_instances: Sequence[Instances],
    ) -> dict[str, Tensor]:
        """The losses by name.

        Args:
            images: the N input images.
            features: the L maps (N, C, Hi, Wi).
            predictions: of the head.
            gt_instances: ``gt_boxes`` and ``gt_classes`` of every image.
        """
        squares, grids = self._squares(features), self._grids(features)
        image_sizes = image_sizes_of(images, squares.device)
        valid = valid_cells(grids, image_sizes, 1, self._size_divisibility)
        truth = GroundTruth.from_instances(gt_instances)
        location = self.location_loss(predictions.location, truth, grids)
        shapes = Prediction(shape_deltas(flatten_cells(predictions.shapes)), None)
        shape = self.shape.losses(squares, shapes, truth, grids, valid, image_sizes)
        anchors = self._anchors(predictions, squares)
        prediction = self.head.predict(predictions)
        outcome = self.refinement.losses(anchors, prediction, truth, grids, valid, image_sizes)

        own = None if self.propose_in_padding else valid
        active = have_anchors(predictions.location, self.location_threshold, own)
        self._log("", {"active_share": share_of(active, own), **outcome.statistics})
        self._log("anchor_", shape.statistics)
        return {
            "loss_cls": outcome.losses["cls"],
            "loss_box_reg": outcome.losses["loc"],
            "loss_anchor_loc": location,
            "loss_anchor_shape": shape.losses["loc"],
        }

    @torch.no_grad()
    def forward_inference(
        self, images: ImageList, features: Sequence[Tensor], predictions: Towers
    ) -> list[Instances]:
        """``pred_boxes``, ``scores`` and ``pred_classes`` of every image, best first.

        Args:
            images: the N input images.
            features: the L maps (N, C, Hi, Wi).
            predictions: of the head.
        """
        squares, grids = self._squares(features), self._grids(features)
        own = self._own_cells(grids, images, squares.device)
        active = have_anchors(predictions.location, self.location_threshold, own)
        cells = ActiveCells(active, grids)
        counted = (
            [active.shape[1]] * len(active)
            if self.propose_in_padding
            else count_own_cells(grids, images, self._size_divisibility)
        )
        self.activity.update(cells.per_image, counted)
        if self.sparse:
            deltas, logits = self.head.predict_at(predictions, cells)
        else:
            everywhere = self.head.predict(predictions)
            assert everywhere.logits is not None  # the head classifies
            deltas = everywhere.deltas.flatten(0, 1)[cells.index]
            logits = everywhere.logits.flatten(0, 1)[cells.index]
        shapes = shape_deltas(cells.rows(predictions.shapes))
        anchors = self.shape.box_coder.decode(squares[0, cells.cell], shapes)
        boxes = self.refinement.box_coder.decode(anchors, deltas)  # (M, 4)
        scores = logits.float().sigmoid()  # (M, K)
        best = best_of_levels(scores.amax(dim=1), cells.counts, self.test_topk_candidates)
        detections, _ = fast_rcnn_inference(
            [boxes[index] for index in best],
            [F.pad(scores[index], (0, 1)) for index in best],  # it expects a background
            images.image_sizes,
            self.test_score_thresh,
            self.test_nms_thresh,
            self.max_detections_per_image,
        )
        return detections

    @torch.no_grad()
    def trace(self, images: ImageList, features: Mapping[str, Tensor]) -> GuidedAnchors:
        """Where anchors are and their shapes.

        Args:
            images: the N input images.
            features: maps (N, C, Hi, Wi) by name.
        """
        maps = [features[name] for name in self.head_in_features]
        towers, grids = self.head(maps), self._grids(maps)
        anchors = self._anchors(towers, self._squares(maps))
        own = self._own_cells(grids, images, anchors.device)
        active = have_anchors(towers.location, self.location_threshold, own)
        return GuidedAnchors(grids, anchors, towers.location.float().sigmoid(), active)

    @property
    def _size_divisibility(self) -> int:
        return max(self.backbone.size_divisibility, 1)

    def _own_cells(
        self, grids: Sequence[Grid], images: ImageList, device: torch.device
    ) -> Tensor | None:
        """The cells (N, S) that may detect; None for all of them."""
        if self.propose_in_padding:
            return None
        return own_cells(grids, images, self._size_divisibility, device)

    def _squares(self, maps: Sequence[Tensor]) -> Tensor:
        squares = pyramid_anchors(self.anchor_generator, maps)  # (S, 4)
        return squares.expand(len(maps[0]), -1, -1)

    def _grids(self, maps: Sequence[Tensor]) -> list[Grid]:
        return grids_of(maps, self.anchor_generator.strides)

    def _anchors(self, towers: Towers, squares: Tensor) -> Tensor:
        """The guided anchors (N, S, 4), without gradient."""
        return decode_anchors(squares, towers.shapes, self.shape.box_coder)

    def _log(self, prefix: str, statistics: Mapping[str, Tensor]) -> None:
        put_statistics(f"retinanet/{prefix}", statistics, self.log_period)


def best_of_levels(scores: Tensor, counts: Sequence[Sequence[int]], topk: int) -> list[Tensor]:
    """The places of the best cells of every image, ``topk`` a level at most.

    Args:
        scores: (M,), in the order of levels first, then images.
        counts: cells of every level and image, L lists of N.

    Returns:
        For each of the N images (Mn,) int64, places among the M.
    """
    chunks = iter(scores.split([count for of_level in counts for count in of_level]))
    images: list[list[Tensor]] = [[] for _ in counts[0]]
    start = 0
    for of_level in counts:
        for image, count in enumerate(of_level):
            images[image].append(start + next(chunks).topk(min(topk, count)).indices)
            start += count
    return [torch.cat(places) for places in images]
