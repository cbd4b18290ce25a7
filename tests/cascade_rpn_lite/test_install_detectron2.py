"""`cascade-rpn install-detectron2`; nothing is downloaded or installed here."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import subprocess
import sys
from importlib.machinery import ModuleSpec
from types import SimpleNamespace

import pytest

from cascade_rpn_lite import install_detectron2
from cascade_rpn_lite.detectron2_source import COMMIT, INDEX, Choice


@pytest.fixture
def command():
    """Runs the command with some arguments."""

    def run(*words: str) -> None:
        parser = argparse.ArgumentParser()
        install_detectron2.add_arguments(parser)
        install_detectron2.run(parser.parse_args(words))

    return run


@pytest.fixture
def chosen(monkeypatch) -> list[str | None]:
    """Chooses the commit on GitHub; what was asked for."""
    wishes: list[str | None] = []

    def choose(wish: str | None) -> Choice:
        wishes.append(wish)
        return Choice(wish or COMMIT, "so it is")

    monkeypatch.setattr(install_detectron2, "choose", choose)
    monkeypatch.delenv("DETECTRON2", raising=False)
    return wishes


@pytest.fixture
def ran(monkeypatch) -> list[list[str]]:
    """The commands that were run, instead of running them."""
    commands: list[list[str]] = []
    monkeypatch.setattr(
        install_detectron2.subprocess, "run", lambda words, check: commands.append(words)
    )
    return commands


@pytest.fixture
def absent(monkeypatch):
    """As if Detectron2 were not installed, and neither were the modules named in this list."""
    names = ["detectron2"]
    find_spec = install_detectron2.importlib.util.find_spec
    monkeypatch.setattr(
        install_detectron2.importlib.util,
        "find_spec",
        lambda name: None if name in names else find_spec(name) or ModuleSpec(name, None),
    )
    return names


def test_what_is_installed_is_left_as_it_is(command, chosen, ran, monkeypatch, capsys):
    monkeypatch.setattr(install_detectron2, "installed", lambda: "git+https://here@02b5c4e2")
    command("--source", "/elsewhere")
    assert not chosen and not ran
    assert capsys.readouterr().err == (
        "install: detectron2 from git+https://here@02b5c4e2: installed already; uninstall it first "
        "to have another\n"
    )


def test_one_line_says_which_it_is_and_why(command, chosen, ran, absent, capsys):
    command()
    assert chosen == [None]
    assert capsys.readouterr().err.splitlines() == [
        f"install: detectron2 from {COMMIT}: so it is",
        "install: building detectron2 (about 2 minutes)",
    ]
    (words,) = ran
    assert words == [
        *(sys.executable, "-m", "pip", "install", "--quiet", "--no-build-isolation", COMMIT)
    ]


def test_the_option_goes_before_the_variable(command, chosen, ran, absent, monkeypatch):
    monkeypatch.setenv("DETECTRON2", "/variable.whl")
    command()
    command("--source", "/option.whl")
    assert chosen == ["/variable.whl", "/option.whl"]
    assert [words[-1] for words in ran] == chosen


def test_a_dry_run_prints_the_source_alone(command, chosen, ran, capsys):
    command("--dry-run")
    assert not ran
    printed = capsys.readouterr()
    assert printed.out == f"{COMMIT}\n"
    assert printed.err == f"install: detectron2 from {COMMIT}: so it is\n"


def test_what_a_dry_run_chose_is_installed_without_another_word(
    command, chosen, ran, absent, capsys
):
    command("--chosen", "/mirror/detectron2.whl")
    assert not chosen and ran[0][-1] == "/mirror/detectron2.whl"
    assert not any(capsys.readouterr())


def test_the_copy_on_the_index_is_installed_as_a_wheel_without_its_library(
    command, chosen, ran, absent, monkeypatch
):
    monkeypatch.setattr(install_detectron2.index_copy, "download", lambda pip, folder: folder)
    monkeypatch.setattr(install_detectron2.index_copy, "make_wheel", lambda _, folder: "a.whl")
    command("--source", INDEX)
    assert [words[-1] for words in ran] == ["a.whl"]


def test_uv_installs_where_there_is_no_pip(command, chosen, ran, absent, monkeypatch):
    absent.append("pip")
    monkeypatch.setattr(install_detectron2.shutil, "which", lambda name: f"/bin/{name}")
    command("--source", "/a.whl")
    assert ran == [["/bin/uv", "pip", "install", "--quiet", "--python", sys.executable, "/a.whl"]]
    monkeypatch.setattr(install_detectron2.shutil, "which", lambda name: None)
    with pytest.raises(SystemExit, match="^install: neither pip for .* nor uv is there"):
        command("--source", "/a.whl")


def test_what_detectron2s_build_imports_is_seen_to(command, chosen, ran, absent):
    absent.append("wheel")
    command()
    assert [words[-1] for words in ran] == ["wheel", COMMIT]
    absent.append("torch")
    with pytest.raises(SystemExit, match="has no torch, against which .* or set DETECTRON2=index"):
        command()


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        (COMMIT, "from git.* set DETECTRON2= to another source of it, such as DETECTRON2=index"),
        (INDEX, "could not be had from the package index .* set DETECTRON2= to a local clone"),
    ],
)
def test_what_cannot_be_installed_is_an_error(
    command, chosen, absent, monkeypatch, source, sentence
):
    def fail(words, check):
        raise subprocess.CalledProcessError(1, words)

    monkeypatch.setattr(install_detectron2.subprocess, "run", fail)
    with pytest.raises(SystemExit, match=f"^install: .*{sentence}"):
        command("--source", source)


def distributions(monkeypatch, **known: dict | None):
    """Makes these distributions the installed ones; the values are their direct_url.json."""

    def distribution(name: str):
        name = name.replace("-", "_")
        if name not in known:
            raise importlib.metadata.PackageNotFoundError(name)
        text = known[name] and json.dumps(known[name])
        return SimpleNamespace(name=name, version="0.6", read_text=lambda _: text)

    spec = ModuleSpec("detectron2", None, origin="/site-packages/detectron2/__init__.py")
    monkeypatch.setattr(install_detectron2.importlib.util, "find_spec", lambda name: spec)
    monkeypatch.setattr(install_detectron2.importlib.metadata, "distribution", distribution)
    return spec


def test_where_the_installed_one_came_from(monkeypatch):
    spec = distributions(monkeypatch)
    assert install_detectron2.installed() == "/site-packages/detectron2"
    distributions(monkeypatch, detectron2=None)
    assert install_detectron2.installed() == "detectron2 0.6"
    distributions(monkeypatch, detectron2={"url": "file:///mirror/detectron2"})
    assert install_detectron2.installed() == "file:///mirror/detectron2"
    origin = {"url": "https://github.com/d2", "vcs_info": {"vcs": "git", "commit_id": "02b5"}}
    distributions(monkeypatch, detectron2=origin)
    assert install_detectron2.installed() == "git+https://github.com/d2@02b5"
    distributions(monkeypatch, sal_detectron2={"url": "file:///mirror/sal.whl"})
    assert install_detectron2.installed().startswith("the package index (sal-detectron2 0.7.2")
    # A folder of that name, such as a clone in the current one.
    spec.origin = None
    monkeypatch.setattr(install_detectron2.importlib.util, "find_spec", lambda name: spec)
    assert install_detectron2.installed() is None
