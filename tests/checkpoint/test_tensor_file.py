"""Files of tensors are read by what they are, and what cannot be read is said in one sentence."""

from __future__ import annotations

import collections
import pickle
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.config import CfgNode

from cascade_rpn_d2.checkpoint.tensor_file import left_out_words, read_tensor_file

STATE = {"a.weight": torch.arange(6.0).reshape(2, 3)}
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"


def save(folder: Path, content: object = STATE, name: str = "theirs.pth", **options) -> Path:
    torch.save(content, folder / name, **options)
    return folder / name


def refusal(path: Path) -> str:
    """What is said of a file after its name: in one line, without what PyTorch says."""
    with pytest.raises(ValueError) as caught:
        read_tensor_file(path)
    message = str(caught.value)
    assert message.startswith(f"{path} ") and message.endswith(".") and message.isprintable()
    for theirs in ("weights_only", "torch.load", "PytorchStreamReader", "Unpickl", "Error"):
        assert theirs not in message
    return message.removeprefix(f"{path} ")


@pytest.mark.parametrize("name", ["a.pth", "a.pkl", "a.ckpt", "a"])
@pytest.mark.parametrize("zipped", [True, False])
def test_a_file_is_what_it_begins_with_and_not_its_name(tmp_path, name, zipped):
    file = read_tensor_file(save(tmp_path, name=name, _use_new_zipfile_serialization=zipped))
    assert file.of_torch and torch.equal(file.content["a.weight"], STATE["a.weight"])
    (tmp_path / name).write_bytes(pickle.dumps({"model": {"a": np.ones(2)}}, protocol=2))
    file = read_tensor_file(tmp_path / name)
    assert not file.of_torch and (file.content["model"]["a"] == 1).all()


class History(list):
    """A list of a class of its own."""


@pytest.mark.parametrize("zipped", [True, False])
def test_objects_beside_the_tensors_are_left_out_by_name(tmp_path, zipped):
    settings = CfgNode({"MODEL": {"WIDTH": 3}})  # a dict of a class of its own, with two in it
    content = {
        "state_dict": STATE,
        "settings": settings,
        "counts": collections.defaultdict(list, a=[1]),
        "history": History([1, 2]),
        "path": Path("somewhere"),
        "function": print,
    }
    allowed = set(torch.serialization.get_safe_globals())
    file = read_tensor_file(
        save(tmp_path, content, _use_new_zipfile_serialization=zipped, pickle_protocol=2)
    )
    assert torch.equal(file.content["state_dict"]["a.weight"], STATE["a.weight"])
    assert set(file.left_out) >= {"collections.defaultdict", f"{__name__}.History"}
    assert any("CfgNode" in name for name in file.left_out)
    assert set(torch.serialization.get_safe_globals()) == allowed


def test_words_name_the_first_of_what_is_left_out():
    assert left_out_words(["a.B"]) == "has objects of a.B, which are left aside"
    words = left_out_words(["a.\x1b", "b", "c", "d", "e"])
    assert words == "has objects of a.\ufffd, b, c and 2 more, which are left aside"


def npz(path: Path) -> None:
    with open(path, "wb") as file:
        np.savez(file, a=np.ones(3))


def torchscript(path: Path) -> None:
    torch.jit.script(torch.nn.Linear(1, 1)).save(str(path))


def other_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model_final.pth", b"weights")


def compressed(path: Path) -> None:
    with zipfile.ZipFile(save(path.parent, name="plain.pth")) as plain:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in plain.namelist():
                archive.writestr(name, plain.read(name))


def expanded(path: Path) -> None:
    torch.save({"a": torch.zeros(1).expand(1 << 20, 1 << 20)}, path)


def many_views(path: Path) -> None:
    values = torch.zeros(1 << 18)
    torch.save([values[:] for _ in range(1000)], path)


def sparse(path: Path) -> None:
    torch.save({"a": torch.eye(2).to_sparse()}, path)


def meta(path: Path) -> None:
    torch.save({"a": torch.empty(1 << 20, 1 << 20, device="meta")}, path)


def nested(path: Path) -> None:
    content: list = []
    for _ in range(100):
        content = [content]
    torch.save(content, path)


@pytest.mark.filterwarnings("ignore:Validating sparse")
@pytest.mark.parametrize("name", ["theirs.pth", "theirs.pkl"])
@pytest.mark.parametrize(
    ("write", "said"),
    [
        (b"", "is empty: copy or download it again"),
        (b"not found", "is damaged or no"),
        (b"<!DOCTYPE html>\n<html>", "is an HTML page: download the file itself"),
        (b"\n <html>404</html>", "is an HTML page"),
        (LFS, "is a pointer of Git LFS, not the file itself: get the file with `git lfs pull`"),
        (b"\x80\x04 nothing", "is damaged or no pickle"),
        (b"\x1b[2J\x00", "is damaged or no"),
        (b"\x1f\x8b\x08", "is packed: unpack it first"),
        (npz, "is an archive of numpy arrays (.npz), not a checkpoint"),
        (torchscript, "is a program of TorchScript, not a checkpoint"),
        (other_zip, "is a zip archive without tensors: unpack it first"),
        (compressed, "is compressed ('plain/data.pkl')"),
        (expanded, "would take far more memory than its size"),
        (many_views, "would take far more memory than its size"),
        (sparse, "has a tensor that is sparse, quantized or without values"),
        (meta, "has a tensor that is sparse, quantized or without values"),
        (nested, "has lists or dicts more than 64 deep in each other"),
    ],
)
def test_what_is_no_checkpoint_is_said_in_one_sentence(tmp_path, name, write, said):
    path = tmp_path / name
    path.write_bytes(write) if isinstance(write, bytes) else write(path)
    assert said in refusal(path)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_file_that_is_cut_off_anywhere_is_damaged(tmp_path, zipped):
    path = save(tmp_path, _use_new_zipfile_serialization=zipped)
    content = path.read_bytes()
    for kept in (40, 100, len(content) // 2, len(content) - 40, len(content) - 1):
        path.write_bytes(content[:kept])
        assert refusal(path).startswith("is damaged")


def test_views_of_one_tensor_and_shared_tensors_are_no_bomb(tmp_path):
    weight = torch.zeros(1000, 100)
    content = {f"{i}": weight[i:] for i in range(3)} | {"tied": weight, "empty": torch.zeros(0, 3)}
    assert read_tensor_file(save(tmp_path, content)).content.keys() == content.keys()


def test_refusing_takes_little_memory(tmp_path):
    path = tmp_path / "bomb.pth"
    expanded(path)
    tracemalloc.start()
    refusal(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20_000_000
