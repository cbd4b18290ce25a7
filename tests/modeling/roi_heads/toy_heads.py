"""Point-guided heads on toy maps, and stages that do what a test says."""

from __future__ import annotations

import torch
from detectron2.layers import ShapeSpec
from detectron2.modeling.matcher import Matcher
from detectron2.modeling.poolers import ROIPooler
from detectron2.modeling.roi_heads import FastRCNNConvFCHead
from detectron2.structures import Boxes, Instances
from detectron2.utils.events import EventStorage
from torch import nn

from cascade_rpn_d2.layers import sub_region_starts
from cascade_rpn_d2.modeling import (
    ClassPredictor,
    CPMROIHeads,
    GridHead,
    GridROIHeads,
    GridStage,
    IoUScoring,
    ResamplingScoring,
)
from cascade_rpn_d2.modeling.roi_heads import GridPrediction

SIZE = (80, 100)  # height and width of the images
CLASSES = 3
CHANNELS = 4


class PointingHead(nn.Module):
    """Sees the same in every box: a box ``inset`` cells smaller on each side, of 56 a side.

    With a mapping ratio of 2 the box itself is 14 cells away from every border of the region.
    """

    grid_size, map_size = 3, 28
    output_shape = ShapeSpec(channels=9, height=2, width=2)

    def __init__(self, inset: int = 14):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        starts = sub_region_starts(3, 28).tolist()
        maps = torch.full((9, 28, 28), -8.0)
        cells = (inset, 28, 55 - inset)
        for a in range(3):
            for b in range(3):
                maps[3 * a + b, cells[b] - starts[b], cells[a] - starts[a]] = 8
        self.register_buffer("maps", maps)

    def forward(self, pooled):
        maps = (self.scale * self.maps).expand(len(pooled), -1, -1, -1)
        return GridPrediction(maps, None, pooled.new_ones(len(pooled), 9, 2, 2) * self.scale)


def grid_head(fusion: bool = False) -> GridHead:
    return GridHead(
        ShapeSpec(channels=CHANNELS, height=4, width=4),
        num_convs=2,
        point_channels=4,
        fusion=fusion,
    )


def box_head() -> FastRCNNConvFCHead:
    shape = ShapeSpec(channels=CHANNELS, height=2, width=2)
    return FastRCNNConvFCHead(shape, conv_dims=[], fc_dims=[8])


def stages(count: int, head=grid_head) -> list[GridStage]:
    values = ((2.0, 0.5, 15.0), (1.5, 0.6, 7.5), (1.25, 0.7, 3.75))
    return [
        GridStage(head(), mapping_ratio=ratio, min_iou=iou, loss_weight=weight)
        for ratio, iou, weight in values[:count]
    ]


def build(cls=GridROIHeads, *, count: int = 1, head=grid_head, predictor=None, **changes):
    """Heads with ``count`` stages on one map of stride 4."""
    output = {"num_classes": CLASSES, "test_score_thresh": 0.0, "test_topk_per_image": 20}
    arguments = {
        "num_classes": CLASSES,
        "batch_size_per_image": 32,
        "positive_fraction": 0.25,
        "proposal_matcher": Matcher([0.5], [0, 1]),
        "box_in_features": ["p2"],
        "box_pooler": ROIPooler(2, scales=(0.25,), sampling_ratio=1, pooler_type="ROIAlignV2"),
        "box_head": box_head(),
        "box_predictor": ClassPredictor(ShapeSpec(channels=8), **output | (predictor or {})),
        "grid_pooler": ROIPooler(4, scales=(0.25,), sampling_ratio=1, pooler_type="ROIAlignV2"),
        "grid_stages": stages(count, head),
    }
    return cls(**arguments | changes)


def iou_scoring(channels: int = 36, side: int = 2, **changes) -> IoUScoring:
    return IoUScoring(ShapeSpec(channels=channels, height=side, width=side), fc_dims=[8], **changes)


def resampling_scoring(**changes) -> ResamplingScoring:
    arguments = {"num_classes": CLASSES, "batch_size_per_image": 32, "positive_fraction": 0.25}
    return ResamplingScoring(box_head(), **arguments | changes)


def build_cpm(*, count: int = 2, ism: bool = True, rsm: bool = True, **changes) -> CPMROIHeads:
    return build(
        CPMROIHeads,
        count=count,
        **{
            "iou_scoring": iou_scoring() if ism else None,
            "resampling_scoring": resampling_scoring() if rsm else None,
        }
        | changes,
    )


def features(images: int = 1, size: tuple[int, int] = SIZE) -> dict[str, torch.Tensor]:
    return {"p2": torch.randn(images, CHANNELS, size[0] // 4, size[1] // 4)}


def proposals(boxes: torch.Tensor, size: tuple[int, int] = SIZE) -> Instances:
    logits = torch.zeros(len(boxes))
    return Instances(size, proposal_boxes=Boxes(boxes), objectness_logits=logits)


def truth(*boxes: tuple[float, ...], size: tuple[int, int] = SIZE) -> Instances:
    return Instances(
        size,
        gt_boxes=Boxes(torch.tensor(boxes).view(-1, 4)),
        gt_classes=torch.arange(len(boxes)) % CLASSES,
    )


def around(boxes: torch.Tensor, count: int, pixels: float = 2.0) -> torch.Tensor:
    """``count`` boxes near each of ``boxes``, ``pixels`` off at most."""
    near = boxes.repeat_interleave(count, dim=0)
    return near + pixels * (2 * torch.rand_like(near) - 1)


def background(count: int) -> torch.Tensor:
    """Boxes in the left half of an image, of 8 x 8 pixels."""
    corner = torch.rand(count, 2) * torch.tensor([SIZE[1] / 2 - 8, SIZE[0] - 8.0])
    return torch.cat((corner, corner + 8), dim=1)


OBJECTS = truth((60.0, 10, 90, 40), (55.0, 50, 95, 70))  # in the right half
NOTHING = truth()


def batch_of(*targets: Instances) -> list[Instances]:
    """Proposals of images with these objects: some near every object, and background."""
    return [proposals(torch.cat((around(t.gt_boxes.tensor, 6), background(40)))) for t in targets]


def train(heads, *targets: Instances, boxes: list[Instances] | None = None, maps=None):
    """Losses of one step."""
    batch = batch_of(*targets) if boxes is None else boxes
    with EventStorage():
        _, losses = heads.train()(None, maps or features(len(batch)), batch, list(targets))
    return losses


@torch.no_grad()
def detect(heads, *images: Instances, maps=None) -> list[Instances]:
    """Detections in images with these proposals."""
    found, _ = heads.eval()(None, maps or features(len(images)), list(images))
    return found
