"""The coordinates of the authors of CPM R-CNN and of Grid R-CNN Plus."""

from __future__ import annotations

import pytest
from detectron2.config import instantiate

from cascade_rpn_d2 import model_zoo
from cascade_rpn_d2.config import use_cpm_authors_geometry
from cascade_rpn_d2.config.authors import PIXEL_MEAN
from cascade_rpn_d2.config.lazy import is_of
from cascade_rpn_d2.data import OpenCVResizeShortestEdge

CPM = "cpm_rcnn/authors/cpm_rcnn_r50_fpn_2x.py"
PLUS = "grid_rcnn/authors/grid_rcnn_plus_r50_fpn_2x.py"


@pytest.mark.parametrize(("name", "to_edges"), [(CPM, False), (PLUS, True)])
def test_every_part_counts_the_last_pixel(name: str, to_edges: bool):
    model = model_zoo.get_config(name).model
    assert is_of(model, "InclusiveRCNN") and is_of(model.proposal_generator, "InclusiveRPN")
    assert is_of(model.proposal_generator.refinement.box_coder, "InclusiveBoxCoder")
    for pooler in (model.roi_heads.box_pooler, model.roi_heads.grid_pooler):
        assert is_of(pooler, "InclusiveROIPooler")
        assert pooler.to_edges is to_edges
        assert (pooler.pooler_type, pooler.sampling_ratio) == ("ROIAlign", 2)
    assert model.proposal_generator.get("nms_of_edges", False) is to_edges
    assert is_of(model.roi_heads.box_predictor, "InclusiveClassPredictor") is to_edges
    assert model.get("pads_black", False) is not to_edges


@pytest.mark.parametrize(
    ("name", "first", "bounds_shrinking"),
    [(CPM, [-22, -10, 25, 13], False), (PLUS, [-21, -9, 24, 12], True)],
)
def test_anchors_and_their_deltas_are_those_of_the_code(name, first: list, bounds_shrinking: bool):
    generator = model_zoo.get_config(name).model.proposal_generator
    anchors, *_ = instantiate(generator.anchor_generator).cell_anchors
    assert anchors[0].tolist() == first
    coder = instantiate(generator.refinement.box_coder).coder
    assert coder.bounds_shrinking is bounds_shrinking


@pytest.mark.parametrize(("name", "in_float"), [(CPM, True), (PLUS, False)])
def test_images_are_resized_by_opencv_at_test(name: str, in_float: bool):
    dataloader = model_zoo.get_config(name).dataloader
    (resize,) = instantiate(dataloader.test.mapper.augmentations)
    assert isinstance(resize, OpenCVResizeShortestEdge)
    assert (resize.short_edge_length, resize.max_size, resize.in_float) == (800, 1333, in_float)
    assert is_of(dataloader.train.mapper.augmentations[0], "ResizeShortestEdge")


@pytest.mark.parametrize("trunk", ["r50", "x101_64x4d_dcn"])
def test_cpm_rcnn_takes_the_same_pixels_with_every_trunk(trunk: str):
    config = model_zoo.get_config(f"cpm_rcnn/authors/cpm_rcnn_{trunk}_fpn_2x.py")
    assert tuple(config.model.pixel_mean) == PIXEL_MEAN
    assert list(config.model.pixel_std) == [1, 1, 1]
    assert config.dataloader.test.mapper.image_format == "BGR"


def test_cpm_rcnn_refines_all_boxes():
    heads = model_zoo.get_config(CPM).model.roi_heads
    assert heads.box_predictor.test_topk_per_image == -1
    assert [stage.by_probability for stage in heads.grid_stages] == [True] * 3


def test_plus_keeps_pixels_of_the_config():
    config = model_zoo.get_config(PLUS)
    assert list(config.model.pixel_std) == [58.395, 57.12, 57.375]
    assert config.dataloader.test.mapper.image_format == "RGB"


def test_the_stages_of_cascade_rcnn_code_boxes_likewise():
    config = model_zoo.get_config("cascade_rpn/cascade_rcnn_r50_fpn_1x.py")
    use_cpm_authors_geometry(config.model, config.dataloader)
    coders = [x.box2box_transform for x in config.model.roi_heads.box_predictors]
    assert all(is_of(coder, "InclusiveBox2BoxTransform") for coder in coders)
    weights = [instantiate(coder).weights for coder in coders]
    last = 1 / 0.033, 1 / 0.067
    assert weights == [(10, 10, 5, 5), (20, 20, 10, 10), (last[0], last[0], last[1], last[1])]
