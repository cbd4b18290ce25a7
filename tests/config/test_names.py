"""What a config from elsewhere may name."""

from __future__ import annotations

import functools

import pytest
import torch

from cascade_rpn_d2.config.names import (
    NAMES,
    OLD_NAMES,
    find_name,
    public_name,
    renamed,
    require_known_names,
)
from cascade_rpn_d2.engine import step_schedule
from cascade_rpn_d2.layers import FixedStatisticsBatchNorm2d

SGD = "torch.optim.SGD"
EVALUATOR = "cascade_rpn_d2.evaluation.ProposalRecallEvaluator"
DETECTIONS = "cascade_rpn_d2.evaluation.DetectionEvaluator"
DATASET = "detectron2.data.get_detection_dataset_dicts"


@pytest.mark.parametrize("name", sorted(NAMES))
def test_each_name_is_there_and_is_what_is_recorded(name):
    found = find_name(name)
    assert callable(found)
    assert public_name(found) == name


def test_ours_are_public_and_old_names_lead_to_names():
    ours = [name for name in NAMES if name.startswith("cascade_rpn_d2.")]
    assert all(name.count(".") == 2 for name in ours)  # package, room, name: no file
    assert set(OLD_NAMES.values()) <= NAMES and not set(OLD_NAMES) & NAMES


@pytest.mark.parametrize(
    "content",
    [
        {"_target_": SGD, "lr": 0.1, "params": [{"_target_": DATASET, "proposal_files": None}]},
        {"_target_": torch.optim.SGD, "norm": FixedStatisticsBatchNorm2d},
        {"a": "${train.max_iter} of ${..b[0].c-d}", "b": "$5 {and} :"},
        {"cfg": {"a": 1}, "proposal_files": ["x.npz"]},
        {1: None, "c": [[], {}, 2.0, True]},
    ],
)
def test_what_the_zoo_has_is_known(content):
    require_known_names(content, "it")


@pytest.mark.parametrize(
    ("content", "key"),
    [
        ({"_target_": "os.system", "command": "x"}, "_target_"),
        ({"a": [0, {"b": {"_target_": "os.system"}}]}, "a.1.b._target_"),
        ({"a": ({"_target_": "os.system"},)}, "a.0._target_"),
        # No prefix, no attribute, no other spelling of a known name.
        ({"_target_": f"{SGD}.__init__"}, "_target_"),
        ({"_target_": "torch.utils.cpp_extension.load_inline"}, "_target_"),
        ({"_target_": f" {SGD}"}, "_target_"),
        ({"_target_": "torch.optim.sgd.SGD"}, "_target_"),
        # A name that is not written out.
        ({"_target_": "${a}", "a": SGD}, "_target_"),
        ({"_target_": {"_target_": SGD}}, "_target_"),
        ({"_target_": [SGD]}, "_target_"),
        ({"_target_": None}, "_target_"),
        # Functions of OmegaConf make values that were not looked at.
        ({"a": "${oc.create:{_target_:os.system}}"}, "a"),
        ({"a": ["x ${oc.decode:${b}}"]}, "a.0"),
        ({"a": "${oc.env:HOME}"}, "a"),
        ({"a": "${${b}:c}"}, "a"),
        # Of known functions, what reads pickles or builds other things.
        ({"_target_": DATASET, "names": "a", "proposal_files": ["x.pkl"]}, "proposal_files"),
        ({"_target_": find_name(DATASET), "proposal_files": "${b}"}, "proposal_files"),
        ({"a": {"_target_": EVALUATOR, "output_dir": "/home/x/.docker"}}, "a.output_dir"),
        ({"_target_": EVALUATOR, "suffix": "/../config"}, "suffix"),
        ({"_target_": find_name(DETECTIONS), "output_dir": "${train.a}"}, "output_dir"),
        ({"a": {"_target_": "detectron2.modeling.GeneralizedRCNN", "cfg": {}}}, "a.cfg"),
    ],
)
def test_what_it_has_not_is_refused_where_it_is(content, key):
    with pytest.raises(ValueError, match=rf"^it has .* as its {key}, .*--trust-config") as error:
        require_known_names(content, "it")
    assert "\n" not in str(error.value)


def test_old_names_become_those_of_today():
    old = {"a": [{"_target_": "cascade_rpn_d2.engine.schedule.step_schedule"}], "b": "x"}
    assert renamed(old) == {"a": [{"_target_": "cascade_rpn_d2.engine.step_schedule"}], "b": "x"}
    assert public_name(step_schedule) == "cascade_rpn_d2.engine.step_schedule"


def test_what_is_not_of_the_zoo_has_the_name_that_detectron2_gives_it():
    assert public_name(torch.nn.Conv2d) == "torch.nn.Conv2d"


@pytest.mark.parametrize("value", [lambda: 0, functools.partial(int)])
def test_what_has_no_name_is_refused(value):
    with pytest.raises(ValueError, match="has no name"):
        public_name(value)
