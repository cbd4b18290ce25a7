"""Faster R-CNN on the ZF net: what its two configs build, and where it differs from VGG-16's."""

from __future__ import annotations

import torch
from detectron2.config import get_cfg
from detectron2.modeling import build_model
from detectron2.utils.events import EventStorage
from omegaconf import OmegaConf

from cascade_rpn_d2 import model_zoo
from cascade_rpn_d2.checkpoint import Checkpointer
from cascade_rpn_d2.config import add_cascade_rpn_config
from cascade_rpn_d2.model_zoo import instantiate_model
from tests.model_zoo.test_faster_rcnn_vgg16 import batch

NAME = "faster_rcnn/faster_rcnn_zf.py"
VGG = "faster_rcnn/faster_rcnn_vgg16.py"


def narrow_model():
    config = model_zoo.get_config(NAME)
    config.model.backbone.widths = [4, 4, 8, 8, 8]
    config.model.roi_heads.box_head.fc_dims = [16, 16]
    config.model.roi_heads.num_classes = 3
    # Of an image this small the paper's anchors would all cross the border.
    config.model.proposal_generator.anchor_generator.sizes = [[16, 32, 64]]
    return instantiate_model(config)


def test_a_step_trains_all_and_an_inference():
    model = narrow_model()
    with EventStorage():
        losses = model(batch())
    assert all(loss.isfinite() and loss > 0 for loss in losses.values())
    sum(losses.values()).backward()
    assert all(p.grad is not None for p in model.parameters())
    with torch.no_grad():
        assert model.eval()(batch())[0]["instances"].image_size == (192, 256)


def test_both_configs_build_the_same_model_of_256_channels():
    cfg = get_cfg()
    add_cascade_rpn_config(cfg)
    cfg.merge_from_file(model_zoo.get_config_file("yacs/faster_rcnn_zf.yaml"))
    cfg.MODEL.DEVICE = "meta"
    with torch.device("meta"):
        lazy, yacs = instantiate_model(model_zoo.get_config(NAME)), build_model(cfg)
    shapes = [{k: v.shape for k, v in model.state_dict().items()} for model in (lazy, yacs)]
    assert shapes[0] == shapes[1]
    assert shapes[0]["proposal_generator.rpn_head.conv.weight"] == (256, 256, 3, 3)
    assert shapes[0]["roi_heads.box_head.fc1.weight"] == (4096, 256 * 6 * 6)
    assert shapes[0]["roi_heads.box_head.fc2.weight"] == (4096, 4096)
    assert all(p.requires_grad for model in (lazy, yacs) for p in model.parameters())
    assert repr(lazy.backbone) == repr(yacs.backbone)
    assert repr(lazy.roi_heads) == repr(yacs.roi_heads)
    config = model_zoo.get_config(NAME)
    assert list(config.model.pixel_mean) == cfg.MODEL.PIXEL_MEAN
    assert config.dataloader.test.mapper.image_format == cfg.INPUT.FORMAT == "BGR"


def test_all_else_is_as_with_vgg16():
    ours, theirs = model_zoo.get_config(NAME), model_zoo.get_config(VGG)
    assert ours.train.init_checkpoint == ""  # there is none to be had
    for config in (ours, theirs):
        config.train.init_checkpoint = config.train.output_dir = ""
        config.dataloader.train.mapper.image_format = ""
        for key in ("backbone", "pixel_mean", "pixel_std"):
            del config.model[key]
        config.model.roi_heads.box_pooler.output_size = 0
        config.model.roi_heads.box_head.input_shape.height = 0
        config.model.roi_heads.box_head.input_shape.width = 0
    for key in ("model", "dataloader", "optimizer", "lr_multiplier", "train"):
        plain = [OmegaConf.to_container(config[key], resolve=False) for config in (ours, theirs)]
        assert plain[0] == plain[1], key


def test_weights_of_a_user_are_found_under_the_names_of_the_page(tmp_path):
    model = narrow_model()
    state = {
        "backbone.conv1.weight": torch.ones(4, 3, 7, 7),
        "roi_heads.box_head.fc1.bias": torch.ones(16),
    }
    torch.save({"model": state}, tmp_path / "zf.pth")
    Checkpointer(model).load(str(tmp_path / "zf.pth"), strict=False)
    assert (model.backbone.conv1.weight == 1).all()
    assert (model.roi_heads.box_head.fc1.bias == 1).all()
