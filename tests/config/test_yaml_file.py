"""Configs in YAML run nothing while they are read, and go on loading."""

from __future__ import annotations

import logging
import pickle
import re
import time
from pathlib import Path

import pytest
from detectron2.config import LazyCall as L
from detectron2.config import LazyConfig
from omegaconf import DictConfig
from torch import nn

from cascade_rpn_d2 import model_zoo
from cascade_rpn_d2.config.yaml_file import read_yaml, save_config
from cascade_rpn_d2.layers import FixedStatisticsBatchNorm2d
from cascade_rpn_d2.model_zoo import apply_overrides, trusting_configs
from tests.config.payloads import PAYLOADS


def write(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


@pytest.fixture
def marker(tmp_path) -> Path:
    """A file that a payload makes if it runs."""
    return tmp_path / "ran"


@pytest.mark.parametrize("kind", PAYLOADS)
def test_a_payload_does_not_run(kind, tmp_path, marker):
    file = write(tmp_path / "config.yaml", PAYLOADS[kind](marker))
    with pytest.raises(ValueError, match=r"config\.yaml (has|merges|is no config)") as error:
        read_yaml(file)
    assert not marker.exists() and "\n" not in str(error.value)


@pytest.mark.parametrize("kind", ["tag", "target"])
def test_a_payload_runs_where_it_is_trusted(kind, tmp_path, marker):
    file = write(tmp_path / "config.yaml", PAYLOADS[kind](marker))
    for load in (
        lambda: read_yaml(file, trusted=True),
        lambda: model_zoo.get_config(file, trust_config=True),
    ):
        config = load()
        if kind == "target":
            assert not marker.exists()
            with pytest.raises(ValueError, match="is no Module"):
                model_zoo.instantiate_model(config)
        assert marker.exists()
        marker.unlink()
    with trusting_configs():
        model_zoo.get_config(file)
    with pytest.raises(ValueError, match="--trust-config"):
        model_zoo.get_config(file)


def test_another_file_that_is_named_is_not_read(tmp_path, marker):
    write(tmp_path / "base.yaml", PAYLOADS["tag"](marker))
    file = write(tmp_path / "config.yaml", "_BASE_: base.yaml\nmodel: {_BASE_: base.yaml}\n")
    assert read_yaml(file)._BASE_ == "base.yaml" and not marker.exists()


@pytest.mark.parametrize(
    "override",
    [
        "model._target_=os.system",
        "+model.extra={_target_:os.system}",
        "+model.extra=[[{_target_:os.system}]]",
        "+model.extra='${oc.create:{_target_:os.system}}'",
        "+model.cfg={a:1}",
        "model.in_channels='${oc.decode:x}'",
    ],
)
def test_overrides_do_not_make_a_config_name_more(override, tmp_path):
    text = "model: {_target_: detectron2.modeling.backbone.BasicStem, in_channels: 3}\n"
    file = write(tmp_path / "config.yaml", text)
    with pytest.raises(ValueError, match=r"^The config with its overrides has .* as its model\."):
        apply_overrides(read_yaml(file), [override])
    apply_overrides(read_yaml(file), ["model._target_=torch.optim.SGD", "model.in_channels=4"])
    apply_overrides(read_yaml(file, trusted=True), [override])


def test_names_of_other_overrides_are_not_looked_up(tmp_path, monkeypatch):
    (tmp_path / "payload_of_overrides.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    monkeypatch.syspath_prepend(tmp_path)
    file = write(tmp_path / "config.yaml", "model: {_target_: torch.optim.SGD}\n")
    with pytest.raises(ValueError, match="--trust-config"):
        apply_overrides(read_yaml(file), ["model._target_=payload_of_overrides.x"])
    assert not (tmp_path / "ran").exists()


def test_what_detectron2_saves_of_the_zoos_values_loads(tmp_path):
    text = (
        "model: {_target_: detectron2.modeling.ResNet.make_stage, sizes: !!python/tuple [1, 2],\n"
        "  block_class: !!python/name:detectron2.modeling.backbone.resnet.BasicBlock '',\n"
        "  norm: !!python/name:cascade_rpn_d2.layers.batch_norm.FixedStatisticsBatchNorm2d ''}\n"
        "lr_multiplier: {_target_: cascade_rpn_d2.engine.schedule.step_schedule}\n"
    )
    config = read_yaml(write(tmp_path / "config.yaml", text))
    assert config.model.norm is FixedStatisticsBatchNorm2d  # the names of files of today, or of old
    assert config.model.sizes == [1, 2]
    assert config.lr_multiplier._target_ == "cascade_rpn_d2.engine.step_schedule"


@pytest.mark.parametrize(
    "name", ["grid_rcnn/grid_rcnn_x101_32x4d_fpn_2x", "small/ga_rpn_r18_fpn_1k"]
)
def test_a_recorded_config_is_public_names_and_detectron2_reads_it_too(name, tmp_path):
    config = model_zoo.get_config(name)
    file = tmp_path / "config.yaml"
    save_config(config, file)
    text = file.read_text()
    assert "_target_: cascade_rpn_d2.engine.step_schedule" in text
    batch_norm = "!!python/name:cascade_rpn_d2.layers.FixedStatisticsBatchNorm2d ''"
    assert (batch_norm in text) == ("x101" in name)
    ours, theirs = read_yaml(str(file)), LazyConfig.load(str(file))
    assert ours == theirs and ours.train == config.train
    save_config(ours, tmp_path / "again.yaml")
    assert (tmp_path / "again.yaml").read_text() == text


def test_a_class_with_a_metaclass_is_recorded_by_name(tmp_path):
    config = DictConfig({"a": nn.Module, "b": Path, "c": len}, flags={"allow_objects": True})
    save_config(config, tmp_path / "config.yaml")
    text = (tmp_path / "config.yaml").read_text()
    assert "!!python/name:torch.nn.Module ''" in text and "!!python/name:builtins.len ''" in text


def test_what_has_no_name_is_left_to_detectron2(tmp_path, caplog):
    config = L(nn.Sequential)(build=lambda: 0)
    with caplog.at_level(logging.WARNING):
        save_config(
            DictConfig({"model": config}, flags={"allow_objects": True}), tmp_path / "c.yaml"
        )
    assert "cannot" in caplog.text.lower() or "Unable" in caplog.text
    named = [line for line in caplog.text.splitlines() if "cloudpickle at" in line]
    assert (
        named and str(tmp_path / "c.yaml.pkl") in named[-1] and (tmp_path / "c.yaml.pkl").exists()
    )


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a: 1\nb: [2\n", r"is no YAML that can be read \(line 3: "),
        ("a: !mine 1\n", r"is no YAML that can be read \(line 1: could not determine"),
        ("a: !!int ''\n", "is no YAML that can be read"),
        ("a: !!timestamp x\n", "is no YAML that can be read"),
        ("- a\n", "is no config: a config in YAML has keys"),
        ("'model: {_target_: os.system}'\n", "is no config: a config in YAML has keys"),
        ("", "is no config: a config in YAML has keys"),
        ("[" * 5_000, "is nested more deeply than any config"),
        ("a: &a [*a]\n", "is nested more deeply than any config"),
        ("{a: " * 120 + "}" * 120, "is nested more deeply than any config"),
        ("[a, b]: c\n", "is no"),
    ],
)
def test_a_damaged_file_is_one_sentence(text, sentence, tmp_path):
    with pytest.raises(ValueError, match=sentence) as error:
        read_yaml(write(tmp_path / "config.yaml", text))
    assert str(error.value).startswith(str(tmp_path)) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    "text",
    [
        '"\\e[31m": {_target_: "\\e[2J"}\n',
        "a: !!python/name:%1B[2J ''\n",
        "a: !!python/object:%1B[2J ''\n",
        "a: !%1B[2J ''\n",
    ],
)
def test_a_refusal_says_nothing_to_the_terminal(text, tmp_path):
    with pytest.raises(ValueError, match="has|no YAML") as error:
        read_yaml(write(tmp_path / "config.yaml", text))
    assert str(error.value).isprintable()


def test_few_lines_do_not_take_all_memory(tmp_path):
    lines = ["a0: &a0 [x]"] + [
        f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)
    ]
    with pytest.raises(ValueError, match="more values than any config"):
        read_yaml(write(tmp_path / "lists.yaml", "\n".join(lines)))
    lines = ["a0: &a0 {x: 1}"]
    lines += [f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 10)}]}}" for i in range(1, 12)]
    with pytest.raises(ValueError, match="merges mappings by '<<' in line 2"):
        read_yaml(write(tmp_path / "merged.yaml", "\n".join(lines)))
    with pytest.raises(ValueError, match="is larger than any config"):
        read_yaml(write(tmp_path / "large.yaml", "a: '" + "x" * 2**22 + "'\n"))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a: [" + "a," * 900_000 + "]", "more values than any config"),
        ("a: " + "[" * 400_000 + "]" * 400_000, "nested more deeply"),
        ("a: " + "{a: " * 400_000, "nested more deeply"),
        ("a:\n" + "- " * 400_000, "nested more deeply"),
    ],
)
def test_a_long_text_is_refused_before_anything_is_made_of_it(text, sentence, tmp_path):
    file = write(tmp_path / "config.yaml", text)
    start = time.perf_counter()
    for trusted in (False, True):
        with pytest.raises(ValueError, match=sentence):
            read_yaml(file, trusted=trusted)
    assert time.perf_counter() - start < 5


def test_no_other_place_of_the_package_reads_yaml(repository):
    readers = {
        path.name
        for room in ("cascade_rpn_d2", "cascade_rpn_lite")
        for path in (repository / room).rglob("*.py")
        if re.search(r"\b(LazyConfig\.load\(|yaml\.\w*load|merge_from_file\()", path.read_text())
    }
    assert readers == {"files.py", "yaml_file.py"}


def test_thousands_of_categories_are_no_attack(tmp_path):
    lines = [f"  - {{id: {i}, name: category {i}}}" for i in range(13_000)]
    write(tmp_path / "config.yaml", "\n".join(["train:", "  categories:", *lines]))
    start = time.perf_counter()
    assert len(read_yaml(str(tmp_path / "config.yaml")).train.categories) == 13_000
    assert time.perf_counter() - start < 30


def test_the_flag_survives_copies_and_is_not_recorded(tmp_path):
    file = write(tmp_path / "config.yaml", "model: {_target_: torch.optim.SGD}\n")
    copied = pickle.loads(pickle.dumps(read_yaml(file)))
    with pytest.raises(ValueError, match="--trust-config"):
        apply_overrides(copied, ["model._target_=os.system"])
    save_config(copied, tmp_path / "again.yaml")
    assert (tmp_path / "again.yaml").read_text() == Path(file).read_text()
