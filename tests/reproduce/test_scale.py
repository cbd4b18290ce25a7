"""Experiments at the scales that tables are run at."""

from __future__ import annotations

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from cascade_rpn_d2 import model_zoo
from cascade_rpn_d2.config.lazy import is_of
from cascade_rpn_d2.reproduce import SCALES, find_table


@pytest.mark.parametrize(
    ("folder", "name"),
    [("cascade_rpn", "rpn"), ("cascade_rpn", "cascade_rpn"), ("guided_anchoring", "ga_rpn")],
)
def test_tiny_is_the_demo(folder: str, name: str):
    tiny = model_zoo.get_config(f"{folder}/{name}_r50_fpn_1x.py")
    SCALES["tiny"].adapt(tiny, False)
    demo = model_zoo.get_config(f"demo/{name}.py")
    tiny.train.output_dir = demo.train.output_dir
    tiny.model.proposal_generator.setdefault("size_divisibility", 32)
    demo.model.proposal_generator.setdefault("size_divisibility", 32)
    for part in ("model", "dataloader", "optimizer", "lr_multiplier", "train"):
        ours, theirs = (OmegaConf.to_container(c[part], resolve=True) for c in (tiny, demo))
        assert ours == theirs, part


def test_tiny_reads_own_photographs_small():
    config = model_zoo.get_config("cascade_rpn/rpn_r50_fpn_1x.py")
    SCALES["tiny"].adapt(config, True)
    assert config.dataloader.test.mapper.augmentations[0].short_edge_length == 256
    assert config.dataloader.train.mapper.augmentations[0].short_edge_length == 256


def test_tiny_keeps_the_octaves_of_a_level():
    config = model_zoo.get_config("guided_anchoring/rpn_9_anchors_r50_fpn_1x.py")
    before = config.model.proposal_generator.anchor_generator.sizes
    ratios = [size / before[0][0] for size in before[0]]
    SCALES["tiny"].adapt(config, False)
    after = config.model.proposal_generator.anchor_generator.sizes
    first = [sizes[0] for sizes in after]
    assert first == [16, 32, 64, 128, 256]
    assert [size / after[3][0] for size in after[3]] == pytest.approx(ratios)


def test_tiny_reads_before_the_fpn_what_the_experiment_does():
    config = model_zoo.get_config("guided_anchoring/refine_rpn_r50_fpn_1x.py")
    SCALES["tiny"].adapt(config, False)
    assert is_of(config.model.backbone, "FPNWithInputs")
    assert config.model.backbone.out_channels == 64


def test_tiny_detector_has_narrow_heads_and_the_classes_of_the_demo():
    config = model_zoo.get_config("cascade_rpn/cascade_rpn_faster_rcnn_r50_fpn_1x.py")
    SCALES["tiny"].adapt(config, False)
    heads = config.model.roi_heads
    assert heads.num_classes < 80
    assert list(heads.box_head.fc_dims) == [256, 256]
    assert heads.box_head.input_shape.channels == 64
    assert heads.box_predictor.input_shape.channels == 256
    assert heads.box_pooler.canonical_box_size == 112
    assert list(config.model.proposal_generator.post_nms_topk) == [300, 300]
    assert is_of(config.dataloader.evaluator, "DetectionEvaluator")
    assert heads.batch_size_per_image == 256, "numbers of samples are the experiment's"


def test_tiny_grid_heads_are_narrow_and_flat():
    config = model_zoo.get_config("cpm_rcnn/cpm_rcnn_r50_fpn_2x.py")
    SCALES["tiny"].adapt(config, False)
    heads = config.model.roi_heads
    assert [stage.head.point_channels for stage in heads.grid_stages] == [16, 16, 16]
    assert [stage.head.num_convs for stage in heads.grid_stages] == [4, 4, 4]
    assert {stage.head.init for stage in heads.grid_stages} == {"plus"}
    assert heads.max_grid_rois_per_image == 32
    assert [stage.mapping_ratio for stage in heads.grid_stages] == [2.0, 1.5, 1.25]
    assert heads.grid_pooler.canonical_box_size == heads.box_pooler.canonical_box_size == 112
    assert heads.iou_scoring.input_shape.channels == 9 * 16
    assert list(heads.resampling_scoring.head.fc_dims) == [256, 256]
    network = model_zoo.instantiate_model(config).roi_heads
    features = network.grid_stages[-1].head.output_shape
    inputs = features.channels * features.height * features.width
    assert network.iou_scoring.fcs[0].in_features == inputs


def test_tiny_looks_at_images_in_small_sizes():
    config = model_zoo.get_config("cpm_rcnn/cpm_rcnn_x101_64x4d_dcn_ms_tta_fpn_2x.py")
    before = list(config.tta.min_sizes)
    SCALES["tiny"].adapt(config, False)
    assert list(config.tta.min_sizes) == pytest.approx([0.32 * side for side in before], abs=0.5)
    assert all(isinstance(side, int) for side in (*config.tta.min_sizes, config.tta.max_size))


@pytest.mark.parametrize("name", ["retinanet", "ga_retinanet"])
def test_tiny_detector_in_one_stage_keeps_its_levels(name: str):
    config = model_zoo.get_config(f"guided_anchoring/{name}_r50_fpn_1x.py")
    SCALES["tiny"].adapt(config, False)
    model = config.model
    assert model.num_classes == model.head.num_classes < 80
    assert [sizes[0] for sizes in model.anchor_generator.sizes] == [16, 32, 64, 128, 256]
    network = model_zoo.instantiate_model(config)
    shapes = network.backbone.output_shape()
    assert {name: shape.stride for name, shape in shapes.items()} == {
        "p3": 8, "p4": 16, "p5": 32, "p6": 64, "p7": 128
    }  # fmt: skip
    assert {shape.channels for shape in shapes.values()} == {64}
    assert sum(p.numel() for p in network.head.parameters()) < 700_000
    if name == "ga_retinanet":
        assert model.location_loss.assigner.anchor_scale == 2.0
        assert model.shape.sampler.batch_size_per_image == 256


@pytest.mark.parametrize("scale", ["as it is", "full"])
@pytest.mark.parametrize(
    "key",
    [
        "cascade_rpn/table2",
        "cascade_rpn/table7",
        "guided_anchoring/table2",
        "guided_anchoring/table3",
        "guided_anchoring/table7",
    ],
)
def test_rows_of_a_table_differ_in_proposals_and_not_in_the_loss_of_boxes(
    repository: Path, key: str, scale: str
):
    betas = {}
    for row in find_table(repository / "projects", key).rows:
        config = model_zoo.get_config(row.config)
        if scale in SCALES:
            SCALES[scale].adapt(config, False)
        heads = config.model.get("roi_heads")
        if heads is not None:  # RetinaNet's has another
            for predictor in heads.get("box_predictors") or [heads.box_predictor]:
                betas.setdefault(row.name, set()).add(predictor.smooth_l1_beta)
    # Of the authors' configs of 2019, ga_fast_r50_caffe_fpn_1x.py and their like.
    assert len(betas) >= 2 and all(found == {1.0} for found in betas.values()), betas


def test_full_has_the_geometry_of_the_authors():
    config = model_zoo.get_config("cascade_rpn/cascade_rpn_faster_rcnn_r50_fpn_1x.py")
    SCALES["full"].adapt(config, False)
    generator = config.model.proposal_generator
    assert generator.anchor_generator.offset == 0.5
    assert generator.stages[1].align.center_offset == 0.5
    assert generator.stages[0].assigner.adjacent == "none"
    assert list(generator.pre_nms_topk) == [1000, 1000]
    assert config.model.roi_heads.box_pooler.pooler_type == "ROIAlign"
    assert config.lr_multiplier.warmup_factor == pytest.approx(1 / 3)
    assert list(config.model.pixel_mean) == [102.9801, 115.9465, 122.7717]
    assert config.train.max_iter == 87_960 and config.dataloader.train.total_batch_size == 16
    model_zoo.instantiate_model(config)


def test_full_leaves_grid_r_cnn_its_warm_up_and_pools_points_as_boxes():
    config = model_zoo.get_config("grid_rcnn/grid_rcnn_plus_r50_fpn_2x.py")
    SCALES["full"].adapt(config, False)
    assert config.lr_multiplier.warmup_factor == 1 / 80
    for pooler in (config.model.roi_heads.box_pooler, config.model.roi_heads.grid_pooler):
        assert (pooler.pooler_type, pooler.sampling_ratio) == ("ROIAlign", 2)


@pytest.mark.parametrize(
    "name",
    [
        "cascade_rpn/faster_rcnn_r50_fpn_1x.py",
        "cpm_rcnn/faster_rcnn_r50_fpn_2x.py",
        "grid_rcnn/grid_rcnn_plus_r50_fpn_2x.py",  # fewer iterations of more images
    ],
)
def test_tiny_has_one_schedule_for_1x_and_longer(name: str):
    config = model_zoo.get_config(name)
    SCALES["tiny"].adapt(config, False)
    demo = model_zoo.get_config("demo/rpn.py")
    assert config.lr_multiplier == demo.lr_multiplier
    assert config.train.max_iter == demo.train.max_iter


def test_tiny_keeps_a_schedule_of_its_own_in_proportion():
    name = "guided_anchoring/finetune_faster_rcnn_with_proposals_r50_fpn.py"
    config = model_zoo.get_config(name)
    SCALES["tiny"].adapt(config, False)
    whole = model_zoo.get_config("demo/rpn.py")
    assert config.train.max_iter == round(whole.train.max_iter / 4)
    assert config.lr_multiplier.warmup_iters == whole.lr_multiplier.warmup_iters / 4
    assert list(config.lr_multiplier.milestones) == [7_330, 14_660]


@pytest.mark.parametrize("name", ["vgg16", "zf"])
def test_tiny_of_one_map_is_an_eighth_as_wide_and_its_anchors_as_small_as_the_images(name: str):
    config = model_zoo.get_config(f"faster_rcnn/faster_rcnn_{name}.py")
    whole = model_zoo.get_config(f"faster_rcnn/faster_rcnn_{name}.py")
    SCALES["tiny"].adapt(config, False)
    assert [8 * width for width in config.model.backbone.widths] == whole.model.backbone.widths
    generator = config.model.proposal_generator
    assert generator.head.in_channels == config.model.backbone.widths[4]
    sides = [side * 256 / 600 for side in (128, 256, 512)]
    assert list(generator.anchor_generator.sizes[0]) == pytest.approx(sides)
    assert list(config.model.roi_heads.box_head.fc_dims) == [256, 256]
    # As the backbone takes them.
    assert config.model.pixel_mean == whole.model.pixel_mean
    for part in ("train", "test"):
        ours, theirs = (c.dataloader[part].mapper for c in (config, whole))
        assert ours.image_format == theirs.image_format
    model = model_zoo.instantiate_model(config)
    assert all(p.requires_grad for p in model.parameters())  # nothing is pre-trained


@pytest.mark.parametrize(
    "name", ["faster_rcnn_vgg16", "faster_rcnn_zf", "ablations/three_scales_vgg16"]
)
def test_full_leaves_the_original_faster_rcnn_as_it_is(name: str):
    config = model_zoo.get_config(f"faster_rcnn/{name}.py")
    SCALES["full"].adapt(config, True)
    whole = model_zoo.get_config(f"faster_rcnn/{name}.py")
    ours, theirs = (OmegaConf.to_container(c.model, resolve=True) for c in (config, whole))
    assert ours == theirs
