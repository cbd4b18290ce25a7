"""Predictions in batches are those of single images, and those of Detectron2's predictor."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from detectron2.data import MetadataCatalog
from detectron2.data import transforms as T
from detectron2.engine import DefaultPredictor
from detectron2.structures import Boxes, Instances
from torch import nn

from cascade_rpn_d2 import model_zoo
from cascade_rpn_d2.engine.predictor import BatchPredictor, Categories, load_predictor


@pytest.fixture(scope="module")
def config_file(repository):
    return str(repository / "tests/tiny_configs/tiny_rpn.py")


@pytest.fixture(scope="module")
def weights(config_file, tmp_path_factory):
    torch.manual_seed(7)
    file = tmp_path_factory.mktemp("weights") / "model.pth"
    torch.save({"model": model_zoo.get(config_file, device="cpu").state_dict()}, file)
    return str(file)


def images():
    rng = np.random.default_rng(0)
    sizes = [(60, 80), (100, 70), (60, 80), (33, 200)]
    return [rng.integers(0, 256, (*size, 3), np.uint8) for size in sizes]


class Recorder(nn.Module):
    """Remembers what it was given; says that every image is one box."""

    def __init__(self):
        super().__init__()
        self.batches = []

    def forward(self, inputs):
        self.batches.append(inputs)
        outputs = []
        for given in inputs:
            size = given["height"], given["width"]
            boxes = Boxes(torch.tensor([[0.0, 0.0, size[1], size[0]]]))
            outputs.append({"proposals": Instances(size, proposal_boxes=boxes)})
        return outputs


def test_proposals_equal_those_of_the_default_predictor(config_file, weights):
    cfg = model_zoo.get_predictor_cfg(config_file, weights)
    cfg.MODEL.DEVICE = "cpu"
    reference = DefaultPredictor(cfg)
    predictor, _ = load_predictor(config_file, weights, device="cpu")
    for image, output in zip(images(), predictor(images()), strict=True):
        expected, found = reference(image)["proposals"], output["proposals"]
        assert found.image_size == image.shape[:2]
        torch.testing.assert_close(
            found.proposal_boxes.tensor, expected.proposal_boxes.tensor, rtol=1e-4, atol=1e-3
        )
        torch.testing.assert_close(
            found.objectness_logits, expected.objectness_logits, rtol=1e-4, atol=1e-5
        )


def test_images_share_a_pass_only_if_none_has_to_be_padded():
    model = Recorder()
    outputs = BatchPredictor(model)(images())
    assert sorted(len(batch) for batch in model.batches) == [1, 1, 2]
    # And come back in the order in which they were given.
    assert [o["proposals"].image_size for o in outputs] == [i.shape[:2] for i in images()]


@pytest.mark.parametrize("image_format", ["RGB", "BGR"])
def test_the_model_gets_the_channels_in_its_own_order(image_format):
    image = np.zeros((4, 5, 3), np.uint8)
    image[..., 0] = 200  # blue
    model = Recorder()
    BatchPredictor(model, image_format=image_format)([image])
    given = model.batches[0][0]["image"]
    assert given.dtype == torch.float32
    blue = 2 if image_format == "RGB" else 0
    assert [given[c].mean().item() for c in range(3)] == [200.0 * (c == blue) for c in range(3)]


def test_a_resized_image_keeps_the_size_of_the_file_for_its_boxes():
    model = Recorder()
    predictor = BatchPredictor(model, resize=T.ResizeShortestEdge([30, 30], 50))
    predictor([images()[0]])
    given = model.batches[0][0]
    assert given["image"].shape == (3, 30, 40) and (given["height"], given["width"]) == (60, 80)


def test_a_model_is_put_into_evaluation_mode_and_takes_no_gradients(config_file):
    model = model_zoo.instantiate_model(model_zoo.get_config(config_file)).train()
    outputs = BatchPredictor.from_config(model, model_zoo.get_config(config_file))(images()[:1])
    assert not model.training
    assert not outputs[0]["proposals"].objectness_logits.requires_grad


def test_no_images_no_outputs():
    assert BatchPredictor(Recorder())([]) == []


@pytest.mark.parametrize(
    "image", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)]
)
def test_what_is_no_image_is_refused(image):
    with pytest.raises(ValueError, match=r"\(H, W, 3\) uint8 array in BGR order"):
        BatchPredictor(Recorder())([image])
    with pytest.raises(ValueError, match="'L'"):
        BatchPredictor(Recorder(), image_format="L")


def test_weights_of_another_model_are_refused(repository, weights):
    with pytest.raises(ValueError, match="another model .*keys are missing"):
        load_predictor(
            str(repository / "tests/tiny_configs/tiny_faster_rcnn.py"), weights, device="cpu"
        )


def test_a_detector_without_proposals_of_its_own_cannot_predict_on_images(weights):
    for load in (load_predictor, model_zoo.get_predictor_cfg):
        with pytest.raises(ValueError, match="needs precomputed proposals .*a Faster R-CNN config"):
            load("small/cascade_rpn_fast_rcnn_r18_fpn_1k.py", weights)


def test_overrides_change_the_model(config_file, weights):
    overrides = ["model.proposal_generator.post_nms_topk=[7,7]"]
    predictor, _ = load_predictor(config_file, weights, overrides=overrides, device="cpu")
    assert len(predictor(images()[:1])[0]["proposals"]) == 7


def test_categories_are_those_of_the_dataset(repository):
    config = model_zoo.get_config(repository / "tests/tiny_configs/tiny_faster_rcnn.py")
    categories = Categories.from_config(config)
    assert categories.names[0] == "person" and len(categories.names) == 80
    assert [categories.id_of(i) for i in (0, 79)] == [1, 90]


def test_categories_of_other_data_are_not_made_up(repository):
    config = model_zoo.get_config(repository / "tests/tiny_configs/tiny_faster_rcnn.py")
    config.model.roi_heads.num_classes = 3
    assert Categories.from_config(config) == Categories()
    assert Categories().id_of(2) == 3
    config.dataloader.test.dataset.names = "a_dataset_nobody_has"
    try:
        assert Categories.from_config(config) == Categories()
    finally:
        MetadataCatalog.remove("a_dataset_nobody_has")


def test_a_detector_keeps_as_many_detections_as_are_asked_for(repository):
    file = str(repository / "tests/tiny_configs/tiny_faster_rcnn.py")
    for asked, kept in ((None, 100), (50, 100), (300, 300)):
        predictor, _ = load_predictor(file, trained=False, at_least=asked, device="cpu")
        assert predictor.model.roi_heads.box_predictor.test_topk_per_image == kept
