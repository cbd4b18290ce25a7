"""A run is where its config is."""

from __future__ import annotations

import logging

import pytest

from cascade_rpn_d2.engine.run_config import folder_of_config, weights_beside


def test_a_config_in_yaml_has_a_folder(tmp_path, monkeypatch):
    (tmp_path / "config.yaml").touch()
    (tmp_path / "config.py").touch()
    assert folder_of_config(tmp_path / "config.yaml") == tmp_path
    assert folder_of_config(tmp_path / "config.py") is None
    assert folder_of_config(tmp_path / "other.yaml") is None  # a name of Detectron2's zoo
    assert weights_beside("demo/rpn.py") is None
    monkeypatch.chdir(tmp_path)
    assert folder_of_config("config.yaml") == tmp_path


def test_the_weights_of_a_run_are_beside_its_config(tmp_path, caplog):
    config = tmp_path / "config.yaml"
    config.touch()
    with pytest.raises(ValueError, match=r"no model_final.pth beside .*: give --weights <file>\.$"):
        weights_beside(config)
    for name in ("model_0000003.pth", "model_0000012.pth"):
        (tmp_path / name).touch()
    with pytest.raises(ValueError, match=r"such as .*/model_0000012.pth \(of 2 checkpoints there"):
        weights_beside(config)
    (tmp_path / "model_final.pth").touch()
    with caplog.at_level(logging.INFO):
        assert weights_beside(config) == str(tmp_path / "model_final.pth")
    assert "model_final.pth, beside the config" in caplog.text
