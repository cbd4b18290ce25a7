"""Several models from a command line."""

from __future__ import annotations

import pytest

from cascade_rpn_d2.engine.model_choices import choose_model, choose_models


def test_configs_pair_up_with_weights_and_named_models_follow():
    models = choose_models(
        ["demo/rpn.py", "a/b.py"], ["-", "c:d.pth"], [["Mine", "e:f.py", "-"]], ["k=v"]
    )
    assert [(m.name, m.config_file, m.weights) for m in models] == [
        ("rpn", "demo/rpn.py", None),
        ("b", "a/b.py", "c:d.pth"),
        ("Mine", "e:f.py", None),
    ]
    assert all(m.overrides == ("k=v",) for m in models)
    assert [m.weights for m in choose_models(["a.py", "b.py"])] == [None, None]


def test_overrides_reach_the_config():
    key = "model.proposal_generator.nms_thresh"
    (model,) = choose_models(["demo/rpn.py"], overrides=[f"{key}=0.123"])
    assert model.config().model.proposal_generator.nms_thresh == 0.123


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "There is no model"),
        ({"config_files": ["a.py", "b.py"], "weights": ["w"]}, "2 config files need .* not 1"),
        ({"weights": ["w"]}, "0 config files need"),
        ({"config_files": ["x/a.py", "y/a.py"]}, "Two models are called 'a'"),
    ],
)
def test_models_that_cannot_be_told_apart_or_paired_up(given, message):
    with pytest.raises(ValueError, match=message):
        choose_models(**given)


def test_one_model_is_described_by_where_it_is_from():
    model = choose_model("demo/rpn.py", "w.pth", ["k=v"])
    assert model.name == "rpn"
    assert model.description() == {
        "config": "demo/rpn.py",
        "weights": "w.pth",
        "overrides": ["k=v"],
    }
    assert choose_model("demo/rpn.py").description()["weights"] == "of the zoo"
