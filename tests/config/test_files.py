"""Names of configs, what happens to misspelt ones, and what the configs of the zoo hold."""

from __future__ import annotations

import builtins
import functools
from collections.abc import Iterable

import pytest
from detectron2.config import LazyConfig
from omegaconf import DictConfig, OmegaConf

from cascade_rpn_d2 import model_zoo
from cascade_rpn_d2.config.files import save_config
from cascade_rpn_d2.config.names import NAMES, RECORDED_NAMES, public_name
from cascade_rpn_d2.engine.setup import check_train

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


def test_a_file_name_without_its_folder_is_found():
    with pytest.raises(ValueError, match="did you mean 'grid_rcnn/grid_rcnn_r50_fpn_2x.py'"):
        model_zoo.get_config("grid_rcnn_r50_fpn_2x")


def test_a_misspelt_file_name_without_its_folder_is_compared_with_files_names():
    with pytest.raises(ValueError, match=f"did you mean .*'{NAME}'"):
        model_zoo.get_config("casade_rpn_r50")


def test_a_name_like_no_other_gets_one_sentence_and_not_the_whole_list():
    with pytest.raises(ValueError, match="such as 'demo/cascade_rpn.py'") as error:
        model_zoo.get_config("xyzzy")
    assert len(str(error.value)) < 300


def test_a_misspelt_file_gets_the_one_beside_it(tmp_path):
    (tmp_path / "config.yaml").touch()
    with pytest.raises(ValueError, match=rf"did you mean '{tmp_path}/config.yaml'\?"):
        model_zoo.get_config_file(tmp_path / "confg.yaml")


def test_a_folder_is_called_one_and_its_config_named(tmp_path):
    with pytest.raises(ValueError, match="is a folder without a config"):
        model_zoo.get_config_file(tmp_path)
    for name in ("config.yaml", "another.py"):
        (tmp_path / name).touch()
    with pytest.raises(ValueError, match=rf"is a folder: .* such as '{tmp_path}/config.yaml'\."):
        model_zoo.get_config_file(tmp_path)
    with pytest.raises(ValueError, match="is a folder: .* such as 'demo/"):
        model_zoo.get_config_file("demo")


@pytest.mark.parametrize("name", ["config.json", "model_final.pth", "no_suffix"])
def test_a_file_of_another_kind_is_called_no_config(tmp_path, name):
    (tmp_path / name).touch()
    with pytest.raises(ValueError, match=rf"{name}' is no config: give a file that ends in"):
        model_zoo.get_config_file(tmp_path / name)


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


@functools.cache
def config_of(name: str) -> DictConfig:
    return model_zoo.get_config(name)


name_of = functools.cache(public_name)  # refuses a lambda, or a functools.partial


def named(node):
    """A config as plain dicts and lists, with names for all classes and functions."""
    if OmegaConf.is_config(node):
        return named(OmegaConf.to_container(node, resolve=False))
    if isinstance(node, dict):
        return {
            key: name_of(value) if key == "_target_" and callable(value) else named(value)
            for key, value in node.items()
        }
    if isinstance(node, list):
        return [named(value) for value in node]
    if node is None or isinstance(node, bool | int | float | str):
        return node
    return {"_target_": name_of(node)}


def names_in(node) -> set[str]:
    """All that a config names."""
    if isinstance(node, str) or not isinstance(node, Iterable):
        return set()
    inner = node.values() if isinstance(node, dict) else node
    target = {node["_target_"]} if isinstance(node, dict) and "_target_" in node else set()
    return target.union(*map(names_in, inner))


@pytest.mark.parametrize("name", model_zoo.list_configs())
def test_every_config_is_whole_and_can_feed_a_predictor(name):
    config = config_of(name)
    # A helper that leaks is a key that overrides accept and nothing reads: name it `_helper`.
    assert set(config) - {"tta"} == {"model", "dataloader", "optimizer", "lr_multiplier", "train"}
    assert config.train.output_dir == f"output/{name.removesuffix('.py')}"
    check_train(OmegaConf.merge(config.train, {"device": "cpu"}))
    assert model_zoo.InputFormat.from_config(config).datasets
    assert names_in(named(config)) <= NAMES


@pytest.mark.slow
def test_what_a_config_from_elsewhere_may_name_is_what_the_zoo_names():
    configs = (named(config_of(name)) for name in model_zoo.list_configs())
    assert set().union(*map(names_in, configs)) == NAMES - RECORDED_NAMES


@pytest.mark.slow
@pytest.mark.parametrize("save", [save_config, LazyConfig.save])
def test_every_config_that_was_saved_loads_again_untrusted(save, tmp_path, caplog):
    file = tmp_path / "config.yaml"
    for name in model_zoo.list_configs():
        save(config_of(name), str(file))
        again = model_zoo.get_config(file)
        assert named(again) == named(config_of(name)), name
    assert not caplog.records and list(tmp_path.iterdir()) == [file]
