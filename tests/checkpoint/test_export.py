"""Training checkpoints made fit to be published."""

from __future__ import annotations

import hashlib

import pytest
import torch
from detectron2.checkpoint import DetectionCheckpointer
from torch import nn

from cascade_rpn_d2.checkpoint import Checkpointer
from cascade_rpn_d2.checkpoint.export import compact_state, export_checkpoint


def model():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))


def training_checkpoint(folder):
    torch.manual_seed(1)
    network = model()
    network[1].running_var.fill_(1e-9)  # would be zero in float16
    file = folder / "model_final.pth"
    optimizer = torch.optim.SGD(network.parameters(), 0.1, momentum=0.9)
    torch.save(
        {"model": network.state_dict(), "trainer": optimizer.state_dict(), "iteration": 9}, file
    )
    return network, file


@pytest.mark.parametrize("checkpointer", [DetectionCheckpointer, Checkpointer])
def test_the_exported_weights_are_those_of_the_run(tmp_path, checkpointer):
    network, file = training_checkpoint(tmp_path)
    target = tmp_path / "zoo" / "conv.pth"
    digest = export_checkpoint(file, target)
    assert digest == hashlib.sha256(target.read_bytes()).hexdigest()

    content = torch.load(target, weights_only=True)
    assert content.keys() == {"model", "__author__"}
    assert content["model"]["0.weight"].dtype == torch.float16
    assert content["model"]["1.running_var"].dtype == torch.float32
    assert content["model"]["1.num_batches_tracked"].dtype == torch.int64

    loaded = model()
    checkpointer(loaded).load(str(target))
    for key, value in network.state_dict().items():
        assert torch.allclose(value.float(), loaded.state_dict()[key].float(), rtol=1e-3, atol=0)
    assert loaded[0].weight.dtype == torch.float32


def test_exporting_twice_gives_the_same_file(tmp_path):
    _, file = training_checkpoint(tmp_path)
    assert export_checkpoint(file, tmp_path / "a.pth") == export_checkpoint(
        file, tmp_path / "b" / "a.pth"
    )


def test_a_weight_beyond_the_range_of_float16_stays_as_it_is():
    state = compact_state({"w": torch.tensor([[1e6, 1.0]]), "v": torch.ones(2, 2)})
    assert state["w"].dtype == torch.float32 and state["v"].dtype == torch.float16


def test_a_view_does_not_bring_the_storage_behind_it(tmp_path):
    big = torch.zeros(1000, 1000)
    torch.save({"w": big[:1, :1], "v": big[0, :2]}, tmp_path / "views.pth")
    export_checkpoint(tmp_path / "views.pth", tmp_path / "small.pth")
    assert (tmp_path / "small.pth").stat().st_size < 5000


def test_an_empty_weight_is_exported():
    assert compact_state({"w": torch.zeros(0, 3)})["w"].shape == (0, 3)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"model": {"w": torch.tensor([float("nan")])}}, "'w' has values that are not finite"),
        ({"model": {}}, "no state dict"),
        ({"model": {"w": 3}}, "other things than tensors"),
        ([1, 2], "no state dict"),
    ],
)
def test_what_is_no_checkpoint_is_refused(tmp_path, content, message):
    torch.save(content, tmp_path / "bad.pth")
    with pytest.raises(ValueError, match=message):
        export_checkpoint(tmp_path / "bad.pth", tmp_path / "out.pth")
    assert not (tmp_path / "out.pth").exists()


def test_a_file_that_is_missing_or_garbage_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="absent.pth"):
        export_checkpoint(tmp_path / "absent.pth", tmp_path / "out.pth")
    (tmp_path / "garbage.pth").write_bytes(b"not a checkpoint")
    with pytest.raises(ValueError, match="garbage.pth is damaged or no checkpoint"):
        export_checkpoint(tmp_path / "garbage.pth", tmp_path / "out.pth")
    with pytest.raises(ValueError, match=r"must be named \*\.pth"):
        export_checkpoint(tmp_path / "garbage.pth", tmp_path / "out.pkl")
