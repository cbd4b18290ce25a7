"""Heads as two processes train them, one of which may have nothing to learn from."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from detectron2.structures import Instances
from torch import distributed, multiprocessing
from torch.nn.parallel import DistributedDataParallel

from tests.modeling.roi_heads.toy_cascade import build_scored
from tests.modeling.roi_heads.toy_heads import (
    NOTHING,
    OBJECTS,
    background,
    batch_of,
    build,
    build_cpm,
    proposals,
    train,
)

HEADS = {"grid": build, "cpm": build_cpm, "scored_cascade": build_scored}


def batches(rank: int) -> list[tuple[list[Instances], list[Instances]]]:
    """Objects and proposals of every step of a process: the second one never has an object."""
    if rank == 0:
        return [([OBJECTS, NOTHING], batch_of(OBJECTS, NOTHING)) for _ in range(3)]
    nowhere = proposals(torch.zeros(0, 4))
    return [
        ([NOTHING], [proposals(background(9))]),
        ([NOTHING], [nowhere]),
        ([NOTHING, NOTHING], [proposals(background(9)), nowhere]),
    ]


def run(rank: int, folder: str) -> None:
    """One of the processes; writes the gradients of every step."""
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2
    )
    gradients = {}
    for name, make in HEADS.items():
        torch.manual_seed(0)
        heads = DistributedDataParallel(make(), find_unused_parameters=False)
        torch.manual_seed(rank)
        for step, (targets, boxes) in enumerate(batches(rank)):
            heads.zero_grad()
            # A parameter that took no part would make the next step fail.
            sum(train(heads, *targets, boxes=boxes).values()).backward()
            gradients[name, step] = {k: p.grad.clone() for k, p in heads.named_parameters()}
    torch.save(gradients, f"{folder}/rank{rank}.pth")
    distributed.destroy_process_group()


@pytest.mark.slow
def test_a_process_without_objects_takes_part(tmp_path: Path):
    multiprocessing.spawn(run, (str(tmp_path),), nprocs=2)
    first, second = (torch.load(tmp_path / f"rank{rank}.pth") for rank in (0, 1))
    assert len(first) == 3 * len(HEADS)
    for key, gradients in first.items():
        for name, gradient in gradients.items():
            assert gradient.isfinite().all(), (key, name)
            if name.endswith("weight"):  # those of a bias may cancel out
                assert gradient.abs().max() > 0, (key, name)
            assert torch.equal(gradient, second[key][name]), (key, name)
