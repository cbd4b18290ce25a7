"""Evaluations with test-time augmentation, from a config and from its overrides."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import detectron2.data.transforms as T
import numpy as np
import pytest
import torch
from detectron2.config import LazyCall as L
from detectron2.config import LazyConfig, instantiate
from detectron2.data import DatasetCatalog
from omegaconf import DictConfig

from cascade_rpn_d2 import model_zoo
from cascade_rpn_d2.data import (
    ProposalFile,
    get_detection_dataset_with_proposals,
    write_proposals,
)
from cascade_rpn_d2.engine import evaluate_checkpoint, setup_config
from cascade_rpn_d2.engine.evaluation import read_results
from cascade_rpn_d2.engine.tta import with_tta
from cascade_rpn_d2.model_zoo import instantiate_model
from cascade_rpn_d2.modeling import NMSMerge, SoftNMSMerge
from tests.engine.conftest import TINY_CONFIG
from tests.engine.tiny_models import tiny_config_file

# The demo's images are small: no view of the authors' sizes.
SMALL = ("tta.min_sizes=[48,80]", "tta.max_size=96")


@pytest.fixture
def detector(tiny_data: str, tmp_path: Path) -> Callable[..., DictConfig]:
    """Makes configs of the tiny detector with random weights; ``detector("key=value")``."""

    def make(*overrides: str, adapt=None) -> DictConfig:
        config = setup_config(
            tiny_config_file("tiny_faster_rcnn_run"),
            overrides,
            train_data=tiny_data,
            test_data=tiny_data,
            output_dir=str(tmp_path / "out"),
            device="cpu",
            tta=True,
            adapt=adapt,
        )
        torch.manual_seed(1)
        model, weights = instantiate_model(config), tmp_path / "weights.pth"
        model.roi_heads.box_predictor.bbox_pred.weight.data.zero_()  # proposals stay where they are
        torch.save({"model": model.state_dict()}, weights)
        config.train.init_checkpoint = str(weights)
        return config

    return make


def sizes(config: DictConfig) -> list[tuple[int, int]]:
    _, augmented = with_tta(config, instantiate(config.model))
    return augmented.tta_mapper.sizes


def test_the_default_are_the_authors_views_and_merge():
    config = setup_config("cascade_rpn/faster_rcnn_r50_fpn_1x", device="cpu", tta=True)
    changed, augmented = with_tta(config, instantiate_model(config))
    views = augmented.tta_mapper
    limits = [(800, 1333), *((s, 2000) for s in (400, 500, 600, 700, 900, 1000, 1100, 1200))]
    assert views.sizes == limits and len(views) == 18
    assert augmented.merge == SoftNMSMerge("linear", 0.5, 0.5, 1e-4, 0.03, 100)
    # The views are made of the image itself, and the config that was given is left alone.
    assert changed.dataloader.test.mapper.augmentations == []
    assert len(config.dataloader.test.mapper.augmentations) == 1
    assert changed.dataloader.test.mapper.image_format == "BGR"


def test_a_config_without_tta_keeps_none_unless_it_is_asked_for():
    assert "tta" not in setup_config(TINY_CONFIG)
    config = setup_config("cascade_rpn/faster_rcnn_r50_fpn_1x", device="cpu")
    assert len(sizes(config)) == 9


def test_overrides_reach_the_default(detector):
    config = detector("tta.min_sizes=[600,1000,1200]", "tta.flip=false", "tta.merge.topk=7")
    _, augmented = with_tta(config, instantiate(config.model))
    assert augmented.tta_mapper.sizes == [(96, 128), (600, 2000), (1000, 2000), (1200, 2000)]
    assert len(augmented.tta_mapper) == 4
    assert augmented.merge.topk == 7
    assert sizes(detector("tta.min_sizes=[]")) == [(96, 128)]
    with pytest.raises(ValueError, match=r"'tta\.min_size'.*did you mean 'tta\.min_sizes'"):
        detector("tta.min_size=[600]")


def test_another_merge_from_the_command_line(detector):
    nms = "tta.merge={_target_: cascade_rpn_d2.modeling.NMSMerge, iou_threshold: 0.6}"
    _, augmented = with_tta(config := detector("tta.merge=null", nms), instantiate(config.model))
    assert augmented.merge == NMSMerge(0.6)


def test_a_config_has_its_own(detector):
    def own(config: DictConfig) -> None:
        config.tta = model_zoo.get_config("common/tta.py").tta
        config.tta.min_sizes = [48]

    assert sizes(detector("tta.max_size=70", adapt=own)) == [(96, 128), (48, 70)]


def test_the_first_view_of_images_that_are_not_scaled_is_the_image(detector):
    config = detector(*SMALL, "dataloader.test.mapper.augmentations=[]")
    changed, augmented = with_tta(config, instantiate(config.model))
    (record,) = next(iter(instantiate(changed.dataloader.test)))
    views = augmented.tta_mapper(record)
    assert torch.equal(views[0]["image"], record["image"])


def test_views_are_made_of_the_file(detector):
    config = detector(*SMALL)
    changed, augmented = with_tta(config, instantiate(config.model))
    (record,) = next(iter(instantiate(changed.dataloader.test)))
    (plain,) = next(iter(instantiate(config.dataloader.test)))
    views = augmented.tta_mapper(record)
    assert [view["image"].shape[1] for view in views] == [96, 96, 48, 48, 80, 80]
    assert plain["image"].shape == (3, 96, 96) and record["image"].shape == (3, 64, 64)
    # The first is that of the plain evaluation, and none has been scaled before.
    assert torch.equal(views[0]["image"], plain["image"])
    pixels = np.ascontiguousarray(record["image"].permute(1, 2, 0).numpy())
    small = T.ResizeShortestEdge(48, 96).get_transform(pixels).apply_image(pixels)
    assert torch.equal(views[2]["image"].permute(1, 2, 0), torch.tensor(small))


def test_the_results_have_a_file_of_their_own(detector, tmp_path):
    config = detector(*SMALL)
    plain = evaluate_checkpoint(config)
    augmented = evaluate_checkpoint(config, tta=True)
    assert plain["bbox"].keys() == augmented["bbox"].keys()
    for name, results in (("evaluation", plain), ("evaluation_tta", augmented)):
        written = json.loads((tmp_path / "out" / f"{name}.json").read_text())
        assert written["bbox"]["AP"] == results["bbox"]["AP"]
    # Who predicts with the run's config scales as before.
    saved = LazyConfig.load(str(tmp_path / "out" / "config.yaml"))
    assert saved.dataloader.test.mapper.augmentations[0].short_edge_length == 96
    assert saved.tta.min_sizes == [48, 80]


def test_one_view_and_plain_nms_are_the_plain_evaluation(detector, tmp_path):
    nms = "tta.merge={_target_: cascade_rpn_d2.modeling.NMSMerge, iou_threshold: 0.5}"
    config = detector("tta.min_sizes=[]", "tta.flip=false", "tta.merge=null", nms)
    assert evaluate_checkpoint(config)["bbox"]["AP"] > 0
    evaluate_checkpoint(config, tta=True)
    out = tmp_path / "out"
    plain, augmented = (read_results(out / f"evaluation{name}.json") for name in ("", "_tta"))
    assert plain[0] == augmented[0]


def test_precomputed_proposals(detector, tmp_path):
    def fast(config: DictConfig) -> None:
        config.model.proposal_generator = None
        test = config.dataloader.test
        test.dataset = L(get_detection_dataset_with_proposals)(
            names=None, proposal_files=None, filter_empty=False
        )
        test.mapper.precomputed_proposal_topk = 50

    file = f"dataloader.test.dataset.proposal_files=[{tmp_path}/proposals.npz]"
    config = detector(*SMALL, file, adapt=fast)
    records = DatasetCatalog.get(config.dataloader.test.dataset.names)
    # The objects themselves.
    corners = [np.array([a["bbox"] for a in r["annotations"]], np.float32) for r in records]
    logits = [np.zeros(len(boxes), np.float32) for boxes in corners]
    given = ProposalFile.from_images([r["image_id"] for r in records], corners, logits)
    write_proposals(tmp_path / "proposals.npz", given)
    assert evaluate_checkpoint(config, tta=True)["bbox"]["AP75"] > 90


FLIP = "{_target_: detectron2.data.transforms.RandomFlip}"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("tta.min_sizes=600", r"tta\.min_sizes takes a list, such as"),
        ("tta.min_sizes=[600.5]", r"such as \(800, 1333\), not \(600\.5, 2000\)"),
        ("tta.batch_size=0", "batch_size must be a positive integer, not 0"),
        ("tta.merge.method=cubic", "'linear' or 'gaussian', not 'cubic'"),
        (f"dataloader.test.mapper.augmentations=[{FLIP},{FLIP}]", "one ResizeShortestEdge"),
    ],
)
def test_values_that_cannot_be(detector, override, message):
    with pytest.raises(ValueError, match=message):
        evaluate_checkpoint(detector(override), tta=True)


def test_a_model_of_proposals_is_refused(tiny_config):
    config = tiny_config("out")
    config.train.init_checkpoint = "weights.pth"
    with pytest.raises(ValueError, match="not what a ProposalNetwork predicts"):
        evaluate_checkpoint(config, tta=True)
