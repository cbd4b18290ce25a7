"""The original Faster R-CNN: what its two configs build, and a step of it, narrow."""

from __future__ import annotations

import pytest
import torch
from detectron2.config import CfgNode, get_cfg, instantiate
from detectron2.modeling import build_model
from detectron2.structures import Boxes, Instances
from detectron2.utils.events import EventStorage
from omegaconf import DictConfig, OmegaConf
from torch import nn
from torchvision.models import VGG16_Weights

from cascade_rpn_d2 import model_zoo
from cascade_rpn_d2.config import add_cascade_rpn_config
from cascade_rpn_d2.model_zoo import instantiate_model

NAME = "faster_rcnn/faster_rcnn_vgg16.py"
SIZE = (96, 128)


def narrow_config() -> DictConfig:
    config = model_zoo.get_config(NAME)
    config.model.backbone.widths = [4, 4, 8, 8, 8]
    config.model.roi_heads.box_head.fc_dims = [16, 16]
    config.model.roi_heads.num_classes = 3
    # Of an image this small the paper's anchors would all cross the border.
    config.model.proposal_generator.anchor_generator.sizes = [[16, 32, 64]]
    return config


def narrow_model() -> nn.Module:
    model = instantiate_model(narrow_config())
    model.roi_heads.box_predictor.test_score_thresh = 0.0
    return model


def yacs_config() -> CfgNode:
    cfg = get_cfg()
    add_cascade_rpn_config(cfg)
    cfg.merge_from_file(model_zoo.get_config_file("yacs/faster_rcnn_vgg16.yaml"))
    return cfg


def batch() -> list[dict]:
    """An image with objects and an empty one."""
    inputs = []
    for boxes in ([[4.0, 4, 54, 44], [70, 40, 86, 56]], []):
        truth = Instances(SIZE)
        truth.gt_boxes = Boxes(torch.tensor(boxes).reshape(-1, 4))
        truth.gt_classes = torch.arange(len(boxes))
        image = torch.randint(0, 255, (3, *SIZE)).float()
        inputs.append({"image": image, "instances": truth, "height": 192, "width": 256})
    return inputs


def test_a_step_trains_all_from_conv3_1_up():
    model = narrow_model()
    with EventStorage():
        losses = model(batch())
    assert set(losses) == {"loss_rpn_cls", "loss_rpn_loc", "loss_cls", "loss_box_reg"}
    assert all(loss.isfinite() and loss > 0 for loss in losses.values())
    sum(losses.values()).backward()
    untrained = {name for name, p in model.named_parameters() if p.grad is None}
    assert {name.split(".")[2] for name in untrained} == {
        "conv1_1", "conv1_2", "conv2_1", "conv2_2"
    }  # fmt: skip
    assert model.backbone.conv3.conv3_1.weight.grad.any()
    assert model.roi_heads.box_head.fc1.weight.grad.any()


def test_an_inference():
    model = narrow_model().eval()
    with torch.no_grad():
        outputs = model(batch())
        proposals, _ = model.proposal_generator(
            images := model.preprocess_image(batch()), model.backbone(images.tensor)
        )
    for output in outputs:
        found = output["instances"]
        assert found.image_size == (192, 256) and 0 < len(found) <= 100
        assert found.pred_boxes.tensor.isfinite().all()
    assert all(0 < len(each) <= 300 for each in proposals)


def test_widths_follow_those_of_the_backbone():
    model = narrow_model()
    assert model.proposal_generator.rpn_head.conv.weight.shape == (8, 8, 3, 3)
    assert model.roi_heads.box_head.fc1.weight.shape == (16, 8 * 7 * 7)
    assert model.roi_heads.box_predictor.cls_score.weight.shape == (4, 16)


def test_anchors_have_three_areas_and_three_shapes_in_the_middle_of_a_cell():
    generator = instantiate(model_zoo.get_config(NAME).model.proposal_generator.anchor_generator)
    (anchors,) = generator([torch.zeros(1, 1, 38, 63)])  # of 1000 x 600 px
    assert len(anchors) == pytest.approx(20_000, rel=0.1)  # "roughly", section 3.3
    first = anchors[:9]
    assert (first.get_centers() == 8).all()
    width, height = (first.tensor[:, 2:] - first.tensor[:, :2]).unbind(1)
    sides = (width * height).sqrt()
    assert sides.tolist() == pytest.approx([128] * 3 + [256] * 3 + [512] * 3)
    assert (height / width).tolist() == pytest.approx([0.5, 1, 2] * 3)


@pytest.mark.parametrize(
    ("name", "sides", "ratios"),
    [
        ("ablations/one_anchor_128", [128], [1]),
        ("ablations/one_anchor_256", [256], [1]),
        ("ablations/three_ratios_128", [128], [0.5, 1, 2]),
        ("ablations/three_ratios_256", [256], [0.5, 1, 2]),
        ("ablations/three_scales", [128, 256, 512], [1]),
        ("faster_rcnn_12_anchors", [64, 128, 256, 512], [0.5, 1, 2]),
    ],
)
def test_the_rows_of_the_tables_differ_in_their_anchors_alone(name, sides, ratios):
    config = model_zoo.get_config(f"faster_rcnn/{name}_vgg16.py")
    generator = config.model.proposal_generator
    anchors = generator.anchor_generator
    assert (list(anchors.sizes), list(anchors.aspect_ratios)) == ([sides], ratios)
    assert generator.head.num_anchors == len(sides) * len(ratios)
    whole = model_zoo.get_config(NAME)
    before = whole.model.proposal_generator
    anchors.sizes, anchors.aspect_ratios = before.anchor_generator.sizes, [0.5, 1.0, 2.0]
    generator.head.num_anchors = before.head.num_anchors
    assert config.train.output_dir == f"output/faster_rcnn/{name}_vgg16"
    config.train.output_dir = whole.train.output_dir
    for key in ("model", "dataloader", "optimizer", "lr_multiplier", "train"):
        ours, theirs = (OmegaConf.to_container(c[key], resolve=False) for c in (config, whole))
        assert ours == theirs, key


def test_both_configs_build_the_original_model():
    cfg = yacs_config()
    cfg.MODEL.DEVICE = "meta"
    with torch.device("meta"):  # 138 million parameters
        lazy, yacs = instantiate_model(model_zoo.get_config(NAME)), build_model(cfg)
    shapes = [{k: v.shape for k, v in model.state_dict().items()} for model in (lazy, yacs)]
    assert shapes[0] == shapes[1]
    assert shapes[0]["proposal_generator.rpn_head.conv.weight"] == (512, 512, 3, 3)
    assert shapes[0]["proposal_generator.rpn_head.anchor_deltas.weight"] == (36, 512, 1, 1)
    assert shapes[0]["roi_heads.box_head.fc1.weight"] == (4096, 512 * 7 * 7)
    assert shapes[0]["roi_heads.box_head.fc2.weight"] == (4096, 4096)
    trained = [{k for k, p in m.named_parameters() if p.requires_grad} for m in (lazy, yacs)]
    assert trained[0] == trained[1]

    ours, theirs = lazy.proposal_generator, yacs.proposal_generator
    assert type(ours) is type(theirs)
    for key in (
        "pre_nms_topk", "post_nms_topk", "nms_thresh", "in_features", "min_box_size",
        "min_original_size", "size_divisibility",
    ):  # fmt: skip
        assert getattr(ours, key) == getattr(theirs, key), key
    assert ours.min_original_size == 16
    assert ours.anchor_generator.offset == theirs.anchor_generator.offset
    ours, theirs = ours.refinement, theirs.refinement
    for key in ("border", "match_across_border", "loc_weight", "cls_weight"):
        assert getattr(ours, key) == getattr(theirs, key), key
    for part in ("assigner", "sampler"):
        assert vars(getattr(ours, part)) == vars(getattr(theirs, part)), part
    assert repr(ours.box_coder) == repr(theirs.box_coder)
    assert ours.box_loss.beta == pytest.approx(theirs.box_loss.beta, abs=1e-4)
    ours, theirs = lazy.roi_heads, yacs.roi_heads
    assert type(ours) is type(theirs)
    assert repr(ours) == repr(theirs)  # pooling and layers
    assert ours.box_head.dropout == theirs.box_head.dropout
    for key in ("batch_size_per_image", "positive_fraction", "proposal_append_gt"):
        assert getattr(ours, key) == getattr(theirs, key), key
    assert ours.box_predictor.box2box_transform.weights == (10.0, 10.0, 5.0, 5.0)
    assert theirs.box_predictor.box2box_transform.weights == (10.0, 10.0, 5.0, 5.0)
    for key in ("smooth_l1_beta", "test_score_thresh", "test_nms_thresh", "test_topk_per_image"):
        assert getattr(ours.box_predictor, key) == getattr(theirs.box_predictor, key), key


def test_a_model_of_the_yacs_config_takes_a_step():
    cfg = yacs_config()
    cfg.MODEL.DEVICE = "cpu"
    cfg.MODEL.ROI_BOX_HEAD.FC_DIM = 16
    cfg.MODEL.ROI_HEADS.NUM_CLASSES = 3
    cfg.MODEL.ANCHOR_GENERATOR.SIZES = [[16, 32, 64]]
    model = build_model(cfg)
    with EventStorage():
        losses = model(batch())
    assert all(loss.isfinite() for loss in losses.values())
    with torch.no_grad():
        assert model.eval()(batch())[0]["instances"].image_size == (192, 256)


def test_the_schedule_is_the_papers_for_coco():
    config = narrow_config()
    config.optimizer.params.model = instantiate_model(config)
    groups = instantiate(config.optimizer).param_groups
    rates = {group["lr"]: group for group in groups}
    assert set(rates) == {0.003, 0.006}  # biases learn twice as fast
    assert all(p.dim() == 1 for p in rates[0.006]["params"])
    assert all(p.dim() > 1 for p in rates[0.003]["params"])
    assert {(g["momentum"], g["weight_decay"]) for g in groups} == {(0.9, 5e-4)}
    factor = instantiate(config.lr_multiplier)
    assert config.train.max_iter == 320_000
    assert [factor(i / 320_000) for i in (1_000, 239_999, 240_001, 319_999)] == pytest.approx(
        [1, 1, 0.1, 0.1]
    )
    assert config.dataloader.train.total_batch_size == 8


def test_both_configs_read_images_as_torchvisions_weights_take_them():
    config, cfg = model_zoo.get_config(NAME), yacs_config()
    transform = VGG16_Weights.IMAGENET1K_V1.transforms()
    for name, expected in (("mean", transform.mean), ("std", transform.std)):
        values = pytest.approx([value * 255 for value in expected])
        assert list(config.model[f"pixel_{name}"]) == values
        assert list(cfg.MODEL[f"PIXEL_{name.upper()}"]) == values
    for part in ("train", "test"):
        mapper = config.dataloader[part].mapper
        assert mapper.image_format == cfg.INPUT.FORMAT == "RGB"
        resize = mapper.augmentations[0]
        assert (resize.short_edge_length, resize.max_size) == (600, 1000)
    assert (cfg.INPUT.MIN_SIZE_TRAIN, cfg.INPUT.MIN_SIZE_TEST) == ((600,), 600)
    assert (cfg.INPUT.MAX_SIZE_TRAIN, cfg.INPUT.MAX_SIZE_TEST) == (1000, 1000)
