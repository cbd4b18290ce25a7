"""State dicts as mmdet and the authors write them: names and shapes, written down from the layouts.

Values are one number a tensor, another for each, without memory of their own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

Shapes = list[tuple[str, tuple[int, ...]]]

COUNTER = "num_batches_tracked"


def make_state(shapes: Shapes) -> dict[str, Tensor]:
    """A state dict with the value i + 1 everywhere in the i-th tensor; counters are 0."""
    return {
        key: torch.tensor(0) if key.endswith(COUNTER) else torch.tensor(i + 1.0).expand(shape)
        for i, (key, shape) in enumerate(shapes)
    }


def narrow(shape: Sequence[int]) -> tuple[int, ...]:
    """The shape of a weight of as many outputs that has one input: a thousandth of the values."""
    return (*shape[:1], *(1 for _ in shape[1:]))


def resnet() -> Shapes:
    """ResNet-50."""
    shapes = [("backbone.conv1.weight", (64, 3, 7, 7)), *_norm("backbone.bn1", 64)]
    channels = 64
    for layer, (blocks, width) in enumerate(zip((3, 4, 6, 3), (64, 128, 256, 512), strict=True), 1):
        for block in range(blocks):
            name = f"backbone.layer{layer}.{block}"
            sides = ((width, channels, 1), (width, width, 3), (4 * width, width, 1))
            for conv, (out, into, side) in enumerate(sides, 1):
                shapes.append((f"{name}.conv{conv}.weight", (out, into, side, side)))
                shapes += _norm(f"{name}.bn{conv}", out)
            if block == 0:
                shapes.append((f"{name}.downsample.0.weight", (4 * width, channels, 1, 1)))
                shapes += _norm(f"{name}.downsample.1", 4 * width)
            channels = 4 * width
    return shapes


def trunk() -> Shapes:
    """ResNet-50 and FPN."""
    shapes = resnet()
    for level, into in enumerate((256, 512, 1024, 2048)):
        shapes += _layer(f"neck.lateral_convs.{level}.conv", 256, into, 1, 1)
        shapes += _layer(f"neck.fpn_convs.{level}.conv", 256, 256, 3, 3)
    return shapes


def cascade_rpn(head: str = "rpn_head.stages") -> Shapes:
    """Two stages, the first without objectness and the second without a bias of its alignment."""
    return [
        *_layer(f"{head}.0.rpn_conv.conv", 256, 256, 3, 3),
        *_layer(f"{head}.0.rpn_reg", 4, 256, 1, 1),
        (f"{head}.1.rpn_conv.conv.weight", (256, 256, 3, 3)),
        *_layer(f"{head}.1.rpn_cls", 1, 256, 1, 1),
        *_layer(f"{head}.1.rpn_reg", 4, 256, 1, 1),
    ]


def stock_rpn(head: str = "rpn_head") -> Shapes:
    """The baseline RPN with three anchors a cell."""
    return [
        *_layer(f"{head}.rpn_conv", 256, 256, 3, 3),
        *_layer(f"{head}.rpn_cls", 3, 256, 1, 1),
        *_layer(f"{head}.rpn_reg", 12, 256, 1, 1),
    ]


def guided_rpn(head: str = "rpn_head") -> Shapes:
    """GA-RPN."""
    return [
        *_layer(f"{head}.rpn_conv", 256, 256, 3, 3),
        *_layer(f"{head}.conv_loc", 1, 256, 1, 1),
        *_layer(f"{head}.conv_shape", 2, 256, 1, 1),
        *_adaption(f"{head}.feature_adaption"),
        *_layer(f"{head}.conv_cls", 1, 256, 1, 1),
        *_layer(f"{head}.conv_reg", 4, 256, 1, 1),
    ]


def retinanet(*, guided: bool) -> Shapes:
    """RetinaNet with nine anchors a cell, or GA-RetinaNet with one, and ResNet-50."""
    shapes = resnet()
    for level, into in enumerate((512, 1024, 2048)):
        shapes += _layer(f"neck.lateral_convs.{level}.conv", 256, into, 1, 1)
    for level, into in enumerate((256, 256, 256, 2048, 256)):
        shapes += _layer(f"neck.fpn_convs.{level}.conv", 256, into, 3, 3)
    for index in range(4):
        shapes += _layer(f"bbox_head.cls_convs.{index}.conv", 256, 256, 3, 3)
        shapes += _layer(f"bbox_head.reg_convs.{index}.conv", 256, 256, 3, 3)
    if guided:
        shapes += _layer("bbox_head.conv_loc", 1, 256, 1, 1)
        shapes += _layer("bbox_head.conv_shape", 2, 256, 1, 1)
        shapes += _adaption("bbox_head.feature_adaption_cls")
        shapes += _adaption("bbox_head.feature_adaption_reg")
    num_anchors = 1 if guided else 9
    shapes += _layer("bbox_head.retina_cls", 80 * num_anchors, 256, 3, 3)
    shapes += _layer("bbox_head.retina_reg", 4 * num_anchors, 256, 3, 3)
    return shapes


def box_head(head: str = "roi_head.bbox_head", scores: int = 81, deltas: int = 320) -> Shapes:
    """Two fully connected layers, and rows of scores and deltas."""
    return [
        *_layer(f"{head}.fc_cls", scores, 1024),
        *_layer(f"{head}.fc_reg", deltas, 1024),
        *_layer(f"{head}.shared_fcs.0", 1024, 256 * 7 * 7),
        *_layer(f"{head}.shared_fcs.1", 1024, 1024),
    ]


def cascade_box_heads(head: str = "roi_head.bbox_head") -> Shapes:
    """The three heads of Cascade R-CNN, whose deltas are of no class in particular."""
    return [shape for k in range(3) for shape in box_head(f"{head}.{k}", deltas=4)]


def classifier(head: str = "roi_head.bbox_head") -> Shapes:
    """A box head that only classifies."""
    return [shape for shape in box_head(head) if ".fc_reg." not in shape[0]]


# Of a grid of three points a side: how many neighbours each point has, column by column.
NEIGHBORS = (2, 3, 2, 3, 4, 3, 2, 3, 2)


def grid_head(head: str = "roi_head.grid_head", *, plus: bool = False) -> Shapes:
    """The head of Grid R-CNN, as mmdet calls its layers or as Grid R-CNN Plus does."""
    conv, norm = ("0", "1") if plus else ("conv", "gn")
    deconv, rounds = ("updeconv", ("firstOrderConvs", "secondOrderConvs"))
    if not plus:
        deconv, rounds = "deconv", ("forder_trans", "sorder_trans")
    return [
        *_grid_trunk(head, conv, norm),
        *_layer(f"{head}.{deconv}1", 576, 64, 4, 4),
        *_layer(f"{head}.{'sbn1' if plus else 'norm1'}", 576),
        (f"{head}.{deconv}2.weight", (576, 1, 4, 4)),
        (f"{head}.{deconv}2.bias", (9,)),
        *(shape for name in rounds for shape in _edges(f"{head}.{name}")),
    ]


def cpm_trunk(*, deformable: bool = False) -> Shapes:
    """ResNet-50 with merged norms, and with deformable convolutions after the first layer; FPN."""
    shapes: Shapes = []
    for key, shape in resnet():
        if key.rpartition(".")[2] in ("running_mean", "running_var", COUNTER):
            continue
        key = key.replace("backbone", "Conv_Body")
        shapes.append((key, shape))
        if deformable and key.endswith("conv2.weight") and "layer1" not in key:
            offset = key.replace("conv2.weight", "conv2.conv_offset")
            shapes += _layer(offset, 18, shape[0], 3, 3)
    inputs = {"p5": 2048, "fpn.0": 1024, "fpn.1": 512, "fpn.2": 256}
    for level, into in inputs.items():
        name, _, number = level.partition(".")
        place = f".{number}" if number else ""
        shapes += _layer(f"Conv_Body_FPN.{name}_in{place}", 256, into, 1, 1)
        shapes += _layer(f"Conv_Body_FPN.{name}_out{place}", 256, 256, 3, 3)
    return [
        *shapes,
        *((f"RPN.anchor_generator.cell_anchors.{level}", (3, 4)) for level in range(5)),
        *_layer("RPN.head.conv", 256, 256, 3, 3),
        *_layer("RPN.head.cls_logits", 3, 256, 1, 1),
        *_layer("RPN.head.bbox_pred", 12, 256, 1, 1),
    ]


def cpm_stages(stages: int = 3, *, fusion: bool = False, scores: bool = True) -> Shapes:
    """The heads of CPM R-CNN, with ISM and RSM or without."""
    owner = "Grid_Cascade_RCNN"
    shapes = _cpm_classifier(owner, "cls")
    for stage in range(stages):
        head, output = f"{owner}.Head_grid_{stage}", f"{owner}.Output_grid_{stage}"
        shapes += _grid_trunk(head, "0", "1")
        if fusion:
            shapes += [*_edges(f"{head}.forder_trans"), *_edges(f"{head}.sorder_trans")]
        shapes += _layer(f"{output}.norm1", 576)
        shapes += _layer(f"{output}.deconv_1", 576, 64, 4, 4)
        shapes += [(f"{output}.deconv_2.weight", (576, 1, 4, 4)), (f"{output}.deconv_2.bias", (9,))]
    if scores:
        shapes += _cpm_iou(f"{owner}.Output_grid_{stages - 1}", 576 * 7 * 7)
        shapes += _cpm_classifier(owner, "rescore")
    return shapes


def cpm_cascade(stages: int = 2, *, scores: bool = True) -> Shapes:
    """Cascade R-CNN's heads in CPM R-CNN's code, with ISM and RSM or without."""
    owner = "Cascade_RCNN"
    shapes: Shapes = []
    for stage in range(1, stages + 1):
        shapes += _layer(f"{owner}.Box_Head_{stage}.fc6", 1024, 256 * 7 * 7)
        shapes += _layer(f"{owner}.Box_Head_{stage}.fc7", 1024, 1024)
        shapes += _layer(f"{owner}.Output_{stage}.cls_score", 81, 1024)
        shapes += _layer(f"{owner}.Output_{stage}.bbox_pred", 8, 1024)
    if scores:
        shapes += _cpm_iou(f"{owner}.Output_{stages}", 1024)
        shapes += _cpm_classifier(owner, "rescore")
    return shapes


def _cpm_classifier(owner: str, name: str) -> Shapes:
    return [
        *_layer(f"{owner}.Head_{name}.fc6", 1024, 256 * 7 * 7),
        *_layer(f"{owner}.Head_{name}.fc7", 1024, 1024),
        *_layer(f"{owner}.Output_{name}.cls_score", 81, 1024),
    ]


def _cpm_iou(output: str, inputs: int) -> Shapes:
    return [
        *_layer(f"{output}.iou_fc1", 1024, inputs),
        *_layer(f"{output}.iou_fc2", 1024, 1024),
        *_layer(f"{output}.iou_pred", 2, 1024),
    ]


def _grid_trunk(head: str, conv: str, norm: str) -> Shapes:
    shapes: Shapes = []
    for index in range(8):
        shapes += _layer(f"{head}.convs.{index}.{conv}", 576, 576 if index else 256, 3, 3)
        shapes += _layer(f"{head}.convs.{index}.{norm}", 576)
    return shapes


def _edges(name: str) -> Shapes:
    shapes: Shapes = []
    for point, neighbors in enumerate(NEIGHBORS):
        for edge in range(neighbors):
            shapes += _layer(f"{name}.{point}.{edge}.0", 64, 1, 5, 5)
            shapes += _layer(f"{name}.{point}.{edge}.1", 64, 64, 1, 1)
    return shapes


# Our name -> mmdet's, to make a file of mmdet's for any of our models.
_THEIRS = (
    (r"^backbone\.bottom_up\.stem\.conv1\.norm\.", "backbone.bn1."),
    (r"^backbone\.bottom_up\.stem\.conv1\.", "backbone.conv1."),
    (r"^backbone\.bottom_up\.res(\d)", lambda m: f"backbone.layer{int(m[1]) - 1}"),
    (r"\.conv(\d)\.norm\.", r".bn\1."),
    (r"\.shortcut\.norm\.", ".downsample.1."),
    (r"\.shortcut\.", ".downsample.0."),
    (r"^backbone\.fpn_lateral(\d)", lambda m: f"neck.lateral_convs.{int(m[1]) - 2}.conv"),
    (r"^backbone\.fpn_output(\d)", lambda m: f"neck.fpn_convs.{int(m[1]) - 2}.conv"),
    (r"^proposal_generator\.rpn_head\.conv", "rpn_head.rpn_conv"),
    (r"^proposal_generator\.rpn_head\.objectness_logits", "rpn_head.rpn_cls"),
    (r"^proposal_generator\.rpn_head\.anchor_deltas", "rpn_head.rpn_reg"),
    (r"^proposal_generator\.stages", "rpn_head.stages"),
    (r"^proposal_generator\.head\.predictor\.objectness", "rpn_head.conv_cls"),
    (r"^proposal_generator\.head\.predictor\.deltas", "rpn_head.conv_reg"),
    (r"^proposal_generator\.head\.conv\.", "rpn_head.rpn_conv."),
    (r"^proposal_generator\.head\.location", "rpn_head.conv_loc"),
    (r"^proposal_generator\.head\.shape", "rpn_head.conv_shape"),
    (r"^proposal_generator\.head\.adaption\.offset", "rpn_head.feature_adaption.conv_offset"),
    (r"^proposal_generator\.head\.adaption\.conv", "rpn_head.feature_adaption.conv_adaption"),
    (r"\.align\.conv\.", ".rpn_conv.conv."),
    (r"\.predictor\.objectness\.", ".rpn_cls."),
    (r"\.predictor\.deltas\.", ".rpn_reg."),
    (r"^roi_heads\.box_head\.fc(\d)", lambda m: f"roi_head.bbox_head.shared_fcs.{int(m[1]) - 1}"),
    (r"^roi_heads\.box_predictor\.cls_score", "roi_head.bbox_head.fc_cls"),
    (r"^roi_heads\.box_predictor\.bbox_pred", "roi_head.bbox_head.fc_reg"),
)


def as_mmdet(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state dict of one of our models under mmdet's names."""
    renamed = {}
    for key, value in state.items():
        for pattern, theirs in _THEIRS:
            key = re.sub(pattern, theirs, key)
        renamed[key] = value
    return renamed


def _norm(name: str, channels: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    for part in ("weight", "bias", "running_mean", "running_var"):
        yield f"{name}.{part}", (channels,)
    yield f"{name}.{COUNTER}", ()


def _adaption(name: str) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{name}.conv_offset.weight", (72, 2, 1, 1)
    yield f"{name}.conv_adaption.weight", (256, 256, 3, 3)


def _layer(name: str, *shape: int) -> Sequence[tuple[str, tuple[int, ...]]]:
    return (f"{name}.weight", shape), (f"{name}.bias", shape[:1])
