"""The configs of the four steps: what each trains, reads and is evaluated by."""

from __future__ import annotations

import pytest
from detectron2.modeling import ProposalNetwork
from omegaconf import OmegaConf

from cascade_rpn_d2 import model_zoo
from cascade_rpn_d2.config.alternating import (
    fast_rcnn_config,
    proposing_config,
    require_faster_rcnn,
    rpn_config,
    split_overrides,
)
from cascade_rpn_d2.config.lazy import is_of
from cascade_rpn_d2.model_zoo import instantiate_model
from tests.engine.tiny_models import tiny_config_file

VGG = "faster_rcnn/faster_rcnn_vgg16.py"
FILES = {"train": ["a.npz"], "test": ["b.npz"]}


def test_overrides_of_one_kind_of_step_are_told_from_those_of_all():
    own_words = ["rpn.train.max_iter=80000", "+fast_rcnn.train.x=a.b=c"]
    common, own = split_overrides(["train.seed=1", *own_words, "rpn=1", "+a.rpn=2"])
    assert common == ["train.seed=1", "rpn=1", "+a.rpn=2"]
    assert own == {"rpn": ["train.max_iter=80000"], "fast_rcnn": ["+train.x=a.b=c"]}


def test_the_advice_on_a_misspelt_key_changes_steps_of_that_kind_alone():
    config = model_zoo.get_config(tiny_config_file("tiny_faster_rcnn_run"))
    makers = {
        "rpn": lambda words: rpn_config(config, words),
        "fast_rcnn": lambda words: fast_rcnn_config(config, FILES, words),
    }
    for kind, make in makers.items():
        _, own = split_overrides([f"{kind}.train.maxiter=3"])
        with pytest.raises(ValueError, match=f"'{kind}.train.max_iter'") as error:
            make(own[kind])
        advised = str(error.value).partition("or write ")[2].partition(" ")[0]
        common, own = split_overrides([advised])
        assert common == [] and make(own[kind]).train.maxiter == 3


@pytest.mark.parametrize("kind", ["fastrcnn", "fast-rcnn", "Fast_RCNN", "2_fast_rcnn", "3_rpn"])
def test_a_kind_written_otherwise_is_refused(kind):
    with pytest.raises(ValueError, match=rf"'\+{kind}\.train\.x=1': give rpn\.key=value for steps"):
        split_overrides([f"+{kind}.train.x=1"])


def test_the_rpn_step_is_a_proposal_network_of_the_same_parts():
    config = model_zoo.get_config(tiny_config_file("tiny_faster_rcnn_run"))
    step = rpn_config(config, ["train.max_iter=7"])
    model, whole = instantiate_model(step), instantiate_model(config)
    assert type(model) is ProposalNetwork
    state, expected = model.state_dict(), whole.state_dict()
    assert {k: v.shape for k, v in state.items()} == {
        k: v.shape for k, v in expected.items() if not k.startswith("roi_heads.")
    }
    assert is_of(step.dataloader.evaluator, "ProposalRecallEvaluator")
    assert step.dataloader.evaluator.dataset_name == step.dataloader.test.dataset.names
    assert step.train.max_iter == 7 != config.train.max_iter
    assert step.train.best_checkpoint is None is not config.train.best_checkpoint


def test_the_rpn_of_a_model_that_knows_the_original_sizes_knows_them_too():
    step = rpn_config(model_zoo.get_config(VGG))
    assert is_of(step.model, "OriginalSizeProposalNetwork")
    assert step.model.proposal_generator.min_original_size == 16
    assert step.model.proposal_generator.propose_in_training is False


def test_widths_that_follow_the_backbone_still_do():
    step = rpn_config(model_zoo.get_config(VGG), ["model.backbone.widths=[1,2,3,4,5]"])
    assert step.model.proposal_generator.head.in_channels == 5


def test_the_fast_rcnn_step_reads_as_many_proposals_as_the_rpn_gives():
    config = model_zoo.get_config(VGG)
    step = fast_rcnn_config(config, FILES, ["optimizer.lr=0.5"])
    assert step.model.proposal_generator is None and step.model.roi_heads == config.model.roi_heads
    for part, file, topk in (("train", "a.npz", 2000), ("test", "b.npz", 300)):
        loader, before = step.dataloader[part], config.dataloader[part]
        assert is_of(loader.dataset, "get_detection_dataset_with_proposals")
        assert loader.dataset.proposal_files == [file]
        assert loader.dataset.topk == loader.mapper.precomputed_proposal_topk == topk
        for key in ("names", "filter_empty"):
            assert loader.dataset[key] == before.dataset[key]
        assert loader.mapper.augmentations == before.mapper.augmentations
    assert step.optimizer.lr == 0.5 != config.optimizer.lr
    assert step.dataloader.evaluator == config.dataloader.evaluator


def test_more_proposals_are_written_for_training_images_than_for_others():
    step = rpn_config(model_zoo.get_config(VGG))
    for part, before, after in (("train", 12000, 2000), ("test", 6000, 300)):
        generator = proposing_config(step, part).model.proposal_generator
        assert (generator.pre_nms_topk[1], generator.post_nms_topk[1]) == (before, after)
    assert step.model.proposal_generator.post_nms_topk[1] == 300


def test_the_config_stays_as_it_is():
    config = model_zoo.get_config(VGG)
    before = OmegaConf.to_yaml(config.dataloader)
    rpn_config(config), fast_rcnn_config(config, FILES)
    assert OmegaConf.to_yaml(config.dataloader) == before
    assert is_of(config.model, "OriginalSizeRCNN") and config.model.proposal_generator


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("demo/rpn.py", "roi_heads"),
        ("small/cascade_rpn_fast_rcnn_r18_fpn_1k.py", "proposal_generator"),
        ("guided_anchoring/retinanet_r50_fpn_1x.py", "proposal_generator"),
    ],
)
def test_other_models_are_refused(name, key):
    with pytest.raises(ValueError, match=rf"no model\.{key}.*demo/faster_rcnn\.py"):
        require_faster_rcnn(model_zoo.get_config(name))
    require_faster_rcnn(model_zoo.get_config(VGG))


def test_data_without_names_are_refused():
    config = model_zoo.get_config(VGG)
    del config.dataloader.test.dataset["names"]
    with pytest.raises(ValueError, match="no dataloader.test.dataset.names"):
        require_faster_rcnn(config)
