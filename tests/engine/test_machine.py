"""The processor and the versions, in words."""

from __future__ import annotations

from pathlib import Path

import torch

from cascade_rpn_d2.engine import machine


def test_the_processor_is_named_as_linux_names_it(monkeypatch):
    text = "processor\t: 0\nmodel name\t: Some CPU @ 3 GHz\nmodel name\t: Another\n"
    monkeypatch.setattr(Path, "read_text", lambda self: text)
    assert machine.cpu_name() == "Some CPU @ 3 GHz"


def test_where_there_is_no_such_file_the_platform_names_it(monkeypatch):
    def fail(self):
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", fail)
    monkeypatch.setattr(machine.platform, "processor", lambda: "")
    monkeypatch.setattr(machine.platform, "machine", lambda: "aarch64")
    assert machine.cpu_name() == "aarch64"


def test_versions_are_those_of_installed_packages():
    assert machine.package_version("torch").split("+")[0] == torch.__version__.split("+")[0]
    assert machine.package_version("of_nobody") == "not installed"
