"""Values of another kind than those they would replace are refused, whatever command takes them."""

from __future__ import annotations

import copy

import pytest
from detectron2.config import LazyCall as L
from omegaconf import DictConfig, OmegaConf

from cascade_rpn_d2 import model_zoo
from cascade_rpn_d2.model_zoo import apply_overrides


def takes(whole: int, ratio: float, pair: tuple[int, int], name: str, maybe: int | None) -> None:
    """Annotated as the project's own classes are."""


def says_nothing(edge, names) -> None:
    """Annotated as much of Detectron2 is."""


@pytest.fixture(scope="module")
def zoo() -> DictConfig:
    return model_zoo.get_config("cascade_rpn/cascade_rpn_faster_rcnn_r50_fpn_1x.py")


def config() -> DictConfig:
    return OmegaConf.create(
        {
            "call": L(takes)(whole=1, ratio=2, pair=[3, 4], name="five", maybe=6),
            "other": L(says_nothing)(edge=600, names=["a"]),
            "node": {
                "flag": True,
                "metric": {"name": "AP", "mode": "max"},
                "folder": "out",
                "sizes": [1, 2],
            },
            "empty": None,
            "list": L(says_nothing)(edge=600, names=[]),
        },
        flags={"allow_objects": True},
    )


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("call.whole=many", "call.whole takes a number, such as 1."),
        ("call.whole=2.5", "takes a whole number, such as 1."),
        ("call.whole=true", "takes a number"),
        ("call.whole=[1,2]", "takes a number"),
        ("call.whole=null", "takes a number"),
        ("call.ratio={a:1}", "takes a number"),
        ("call.pair=abc", r"takes a list, such as \[3,4\]."),
        ("call.pair=1000", "takes a list"),
        ("call.pair=[a,b]", "takes a list"),
        ("call.pair=[1000]", r"takes 2 values, such as \[3,4\]."),
        ("call.name=[a]", "takes a text"),
        ("call.name={a:1}", "takes a text"),
        ("call._target_=no.such.thing", "takes the full name of a class"),
        ("call=foo", r"takes changes to its keys \(whole, ratio"),
        ("call=null", "takes changes to its keys"),
        ("node.flag=1", "takes true or false"),
        ("node.metric=foo", r"takes changes to its keys \(name, mode\), one by one"),
        ("node.metric={nmae:AR}", "takes no 'nmae', but name, mode"),
        ("node.metric={mode:{a:1}}", "node.metric.mode takes a text"),
        ("node.sizes=600", r"takes a list, such as \[1,2\]."),
        ("other.edge=wide", "takes a number"),
        ("other.names=[1]", "takes a list"),
    ],
)
def test_a_value_of_another_kind_is_refused(override, sentence):
    with pytest.raises(ValueError, match=sentence) as error:
        apply_overrides(config(), [override])
    assert str(error.value).startswith(f"'{override}' does not fit: ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        ("call.whole=1e4", "call.whole", 10_000),
        ("call.ratio=1", "call.ratio", 1),
        ("call.ratio=0.5", "call.ratio", 0.5),
        ("call.maybe=null", "call.maybe", None),
        ("call.pair=[1.0,2]", "call.pair", [1.0, 2]),
        ("call.pair=${other.names}", "call.pair", ["a"]),
        ("node.folder=2026", "node.folder", "2026"),
        ("node.sizes=[3]", "node.sizes", [3]),
        ("node.metric={name:50}", "node.metric.name", "50"),
        ("node.metric={name:AR}", "node.metric", {"name": "AR", "mode": "max"}),
        ("node.metric=null", "node.metric", None),
        ("other.edge=[600,800]", "other.edge", [600, 800]),
        ("other.names=b", "other.names", "b"),
        ("empty={a:[1]}", "empty", {"a": [1]}),
        ("empty=text", "empty", "text"),
        ("list.names=[a,b]", "list.names", ["a", "b"]),
    ],
)
def test_what_may_be_meant_is_taken(override, key, value):
    assert OmegaConf.select(apply_overrides(config(), [override]), key) == value


@pytest.mark.parametrize(
    "override",
    [
        "model.proposal_generator.post_nms_topk=abc",
        "model.proposal_generator.post_nms_topk=[100]",
        "model.proposal_generator.stages=[1,2]",
        "model.roi_heads.num_classes=two",
        "model.pixel_mean=100",
        "train.best_checkpoint=foo",
        "dataloader.train.total_batch_size=2.5",
        "dataloader.test.mapper.augmentations=none",
        "model=null",
    ],
)
def test_configs_of_the_zoo_refuse_other_kinds(zoo, override):
    with pytest.raises(ValueError, match="does not fit"):
        apply_overrides(copy.deepcopy(zoo), [override])


@pytest.mark.parametrize(
    "override",
    [
        "dataloader.train.mapper.augmentations.0.short_edge_length=[640,672]",
        "dataloader.train.mapper.augmentations=[]",
        "dataloader.train.dataset.names=[coco_2017_train,coco_2017_val]",
        "train.best_checkpoint=null",
        "train.best_checkpoint.metric=bbox/AP50",
        "model.backbone.bottom_up.stages.norm=BN",
        "model.proposal_generator=null",
        "model.pixel_mean=[1,2,3]",
        "optimizer.lr=1e-3",
        "train.max_iter=1e3",
        "train.seed=3",
        "train.categories=[{id:1,name:cat}]",
    ],
)
def test_configs_of_the_zoo_take_what_they_took(zoo, override):
    apply_overrides(copy.deepcopy(zoo), [override])


@pytest.mark.parametrize(
    ("override", "fits"),
    [
        ("train.best_checkpoint=foo", False),
        ("train.best_checkpoint={metrc:bbox/AP}", False),
        ("train.best_checkpoint={metric:bbox/AP,mode:max}", True),
    ],
)
def test_an_option_of_the_training_that_is_null_still_has_a_kind(override, fits):
    config = model_zoo.get_config("demo/cascade_rpn.py")
    assert config.train.best_checkpoint is None
    if fits:
        assert apply_overrides(config, [override]).train.best_checkpoint.mode == "max"
    else:
        with pytest.raises(ValueError, match="does not fit: train.best_checkpoint takes"):
            apply_overrides(config, [override])
