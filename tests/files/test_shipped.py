"""Where the folders that the package is shipped with are found."""

from __future__ import annotations

from pathlib import Path

import pytest

from cascade_rpn_d2 import model_zoo
from cascade_rpn_d2.files import shipped_dir
from cascade_rpn_d2.reproduce import projects_dir


def test_an_installed_package_finds_its_own_copy(tmp_path: Path):
    package = tmp_path / "site-packages" / "cascade_rpn_d2"
    (package / "model_zoo" / "configs").mkdir(parents=True)
    (tmp_path / "site-packages" / "configs").mkdir()  # of somebody else
    found = shipped_dir("configs", "model_zoo/configs", package)
    assert found == package / "model_zoo" / "configs"


def test_a_checkout_is_not_misled_by_a_leftover_of_a_build(tmp_path: Path):
    package = tmp_path / "cascade_rpn_d2"
    (package / "model_zoo" / "configs").mkdir(parents=True)
    (tmp_path / "configs").mkdir()
    (tmp_path / "setup.py").touch()
    assert shipped_dir("configs", "model_zoo/configs", package) == tmp_path / "configs"


def test_without_either_the_message_says_where_it_should_be(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match="No folder of configs at .*: install cascade_rpn"):
        shipped_dir("configs", "model_zoo/configs", tmp_path / "cascade_rpn_d2")


def test_this_checkout_has_both(repository: Path):
    assert model_zoo.get_config_file("demo/rpn.py") == str(repository / "configs/demo/rpn.py")
    assert projects_dir() == repository / "projects"
