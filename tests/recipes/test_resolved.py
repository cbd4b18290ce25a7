"""What an experiment says, and what its classes say where it is silent."""

from __future__ import annotations

from detectron2.config import LazyCall as L
from omegaconf import OmegaConf

from .resolved import Resolved


class Base:
    def __init__(self, *, width: int = 3, depth: int = 5):
        pass


class Derived(Base):
    def __init__(self, name: str, *, width: int = 4, **kwargs):
        super().__init__(width=width, **kwargs)


class Closed(Base):
    def __init__(self, width: int = 7):
        super().__init__(width=width)


def scale(size: int = 2, *, sides: tuple[int, ...] = (1, 2)) -> None:
    pass


CONFIG = OmegaConf.create(
    {
        "model": L(Derived)(name="a", depth="${train.length}"),
        "parts": [L(Closed)(), L(scale)(size=9)],
        "train": {"length": 6, "nothing": None},
    },
    flags={"allow_objects": True},
)


def test_interpolations_are_followed_and_defaults_filled_in():
    config = Resolved(CONFIG)
    assert config("model.depth") == 6  # not that of the base
    assert config("model.width") == 4  # nor this
    assert config("parts.0.width") == 7
    assert not config.has("parts.0.depth")  # which cannot be given
    assert config("parts.1.size") == 9
    assert config("parts.1.sides") == (1, 2)
    assert config.kind("parts.1") == "scale"
    assert config.count("parts") == 2
    assert config.is_node("model") and not config.is_node("model.width")


def test_what_was_read_is_remembered():
    config = Resolved(CONFIG)
    assert not config.has("train.nothing")  # that it is None has been seen
    config("parts.1.sides")
    assert config.read() == {"parts.1.sides": (1, 2), "train.nothing": None}
    assert config.unread().keys() == {
        *("model.name", "model.depth", "model.width"),
        *("parts.0.width", "parts.1.size", "train.length"),
    }


def test_a_change_leaves_the_other_as_it_was():
    config = Resolved(CONFIG)
    other = config.changed("parts.1.size", 10)
    assert (config("parts.1.size"), other("parts.1.size")) == (9, 10)
    assert other.read() == {"parts.1.size": 10}
