"""What the tests of the commands share."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from cascade_rpn_lite.cli import main


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands tell the processes that they start which warnings to keep quiet about."""
    monkeypatch.setenv("PYTHONWARNINGS", os.environ.get("PYTHONWARNINGS", ""))
    for name in ("RANK", "WORLD_SIZE"):  # not under torchrun
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def sentence_of() -> Callable[..., str]:
    """Runs a command that fails on what it is given; returns the sentence it ends with."""

    def call(*words: str) -> str:
        with pytest.raises(SystemExit) as ended:
            main(words)
        sentence = ended.value.code
        assert isinstance(sentence, str) and sentence.isprintable()  # which is the exit status 1
        assert sentence.startswith(f"cascade-rpn {words[0]}: ")
        return sentence

    return call


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs a command whose arguments cannot be understood; returns what it says of them."""

    def call(*words: str) -> str:
        with pytest.raises(SystemExit) as ended:
            main(words)
        assert ended.value.code == 2
        return capsys.readouterr().err

    return call
