"""A folder in the cache appears complete or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from cascade_rpn_d2.data.cache import ENVIRONMENT, cache_dir, publish


def test_where_the_cache_is(monkeypatch):
    monkeypatch.setenv(ENVIRONMENT, "~/somewhere")
    assert cache_dir() == Path.home() / "somewhere"
    monkeypatch.delenv(ENVIRONMENT)
    assert cache_dir() == Path.home() / ".cache" / "cascade_rpn_d2"


def test_appears_when_complete(tmp_path):
    target = tmp_path / "deep" / "target"
    with publish(target) as staging:
        (staging / "file").write_text("content")
        assert not target.exists()
    assert (target / "file").read_text() == "content"
    assert [p.name for p in target.parent.iterdir()] == ["target"]


def test_a_failure_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError, match="midway"), publish(tmp_path / "target") as staging:
        (staging / "file").write_text("content")
        raise RuntimeError("midway")
    assert list(tmp_path.iterdir()) == []


def test_the_first_of_two_wins(tmp_path):
    target = tmp_path / "target"
    with publish(target) as slow:
        (slow / "file").write_text("slow")
        with publish(target) as fast:
            (fast / "file").write_text("fast")
    assert (target / "file").read_text() == "fast"
    assert [p.name for p in tmp_path.iterdir()] == ["target"]


def test_a_cache_that_cannot_be_written_says_what_to_set(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match=f"cannot write .*set {ENVIRONMENT}"):
        with publish(tmp_path / "file" / "target"):
            pass


def test_no_space_left_says_what_to_do(tmp_path):
    with pytest.raises(OSError, match="No space left on device.*free some space"):
        with publish(tmp_path / "target"):
            raise OSError(28, "No space left on device")
    assert list(tmp_path.iterdir()) == []
