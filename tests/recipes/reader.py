"""The facts of an experiment, by the names that the authors' tables have for them."""

from __future__ import annotations

from .read_heads import read_heads
from .read_proposals import read_generator
from .read_run import Facts, read_backbone, read_images, read_optimizer, read_schedule
from .resolved import Resolved


def read_facts(config: Resolved) -> Facts:
    """What an experiment says in the vocabulary of the tables, by name.

    Args:
        config: the experiment, which remembers what facts were made of.
    """
    facts: Facts = {}
    for read in (
        read_schedule,
        read_optimizer,
        read_images,
        read_backbone,
        read_generator,
        read_heads,
    ):
        found = read(config)
        assert not facts.keys() & found.keys()
        facts |= found
    return facts
