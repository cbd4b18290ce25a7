"""Names of configs, and what happens to misspelt ones."""

from __future__ import annotations

import builtins

import pytest
from detectron2.config import LazyConfig
from omegaconf import DictConfig

from cascade_rpn_d2 import model_zoo

NAME = "cascade_rpn/cascade_rpn_r50_fpn_1x.py"


def test_names_are_listed_without_the_parts_they_are_made_of():
    names = model_zoo.list_configs()
    assert NAME in names and names == sorted(names)
    assert not any(name.startswith("common/") for name in names)


@pytest.mark.parametrize("name", [NAME, NAME.removesuffix(".py")])
def test_a_name_with_and_without_suffix_is_the_same_file(name, repository):
    assert model_zoo.get_config_file(name) == str(repository / "configs" / NAME)
    assert model_zoo.config_name(name) == NAME


def test_a_path_of_a_file_of_the_zoo_has_its_name(repository, monkeypatch):
    monkeypatch.chdir(repository)
    assert model_zoo.config_name(f"configs/{NAME}") == NAME


def test_a_file_outside_the_zoo_is_loaded_and_has_no_name(tmp_path):
    file = tmp_path / "own.py"
    file.write_text("train = dict(max_iter=3)\n")
    assert model_zoo.get_config_file(file) == str(file)
    assert model_zoo.get_config(file).train.max_iter == 3
    assert model_zoo.config_name(file) is None


def test_a_config_that_a_run_has_saved_loads_again(tmp_path):
    config = model_zoo.get_config(NAME)
    LazyConfig.save(config, str(tmp_path / "config.yaml"))
    again = model_zoo.get_config(tmp_path / "config.yaml")
    assert again.model.proposal_generator.stages[0].loc_weight == 10.0


@pytest.mark.parametrize(
    "wrong", ["cascade_rpn/cascade_rpn_r50_fpn_2x.py", "cascade_rpn_r50_fpn_1x", "cascad_rpn/rpn"]
)
def test_an_unknown_name_suggests_the_nearest(wrong):
    with pytest.raises(ValueError, match="did you mean .*cascade_rpn/") as error:
        model_zoo.get_config(wrong)
    assert wrong in str(error.value) and "\n" not in str(error.value)


def test_the_nearest_comes_first():
    with pytest.raises(ValueError, match=f"did you mean '{NAME}'"):
        model_zoo.get_config("cascade_rpn/cascade_rpn_r50_fpn_1")


def test_a_name_like_no_other_gets_the_whole_list():
    with pytest.raises(ValueError, match=NAME):
        model_zoo.get_config("xyzzy")


def test_a_name_does_not_lead_out_of_the_zoo():
    with pytest.raises(ValueError, match="No config"):
        model_zoo.get_config_file("../setup.py")


def test_a_config_that_fails_leaves_the_import_statement_alone(tmp_path):
    file = tmp_path / "broken.py"
    file.write_text("raise RuntimeError('no luck')\n")
    before = builtins.__import__
    with pytest.raises(RuntimeError, match="no luck"):
        model_zoo.get_config(file)
    assert builtins.__import__ is before


def test_loading_twice_gives_independent_configs():
    first = model_zoo.get_config(NAME)
    first.train.max_iter = -1
    assert model_zoo.get_config(NAME).train.max_iter > 0


@pytest.mark.parametrize("name", model_zoo.list_configs())
def test_every_config_loads_and_can_feed_a_predictor(name):
    config = model_zoo.get_config(name)
    assert isinstance(config, DictConfig)
    # A helper that leaks is a key that overrides accept and nothing reads: name it `_helper`.
    assert set(config) - {"tta"} == {"model", "dataloader", "optimizer", "lr_multiplier", "train"}
    assert model_zoo.InputFormat.from_config(config).datasets
