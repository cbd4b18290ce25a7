from __future__ import annotations

import argparse
import copy
import errno
import pickle
import resource
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from cascade_rpn_d2.checkpoint import Checkpointer
from cascade_rpn_d2.files.atomic import write_atomically


def make_model(width: int = 4, value: float | None = None) -> nn.Sequential:
    model = nn.Sequential(nn.Linear(3, width), nn.BatchNorm1d(width), nn.Linear(width, 2))
    if value is not None:
        for parameter in model.parameters():
            nn.init.constant_(parameter, value)
    return model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def load(path: Path | str, model: nn.Module | None = None, **options) -> nn.Module:
    model = model or make_model()
    Checkpointer(model).load(str(path), **options)
    return model


def assert_last(folder: Path, name: str, value: float) -> None:
    """The checkpoint that a run would resume from is ``name``, whole, with these weights."""
    assert {path.name for path in folder.iterdir()} >= {name, "last_checkpoint"}
    assert not list(folder.glob(".*"))
    model = make_model()
    Checkpointer(model, str(folder)).resume()
    assert all((p == value).all() for p in model.parameters())


def test_what_is_saved_is_loaded(folder):
    model, other = make_model(), nn.Linear(2, 2)
    Checkpointer(model, str(folder), other=other).save("model_0000004", iteration=4)
    copy, other_copy = make_model(), nn.Linear(2, 2)
    rest = Checkpointer(copy, str(folder), other=other_copy).resume()
    assert rest == {"iteration": 4}
    for old, new in [(model, copy), (other, other_copy)]:
        for key, value in old.state_dict().items():
            assert torch.equal(value, new.state_dict()[key])


def test_only_tagging_checkpointers_change_what_is_resumed_from(folder):
    Checkpointer(make_model(value=1.0), str(folder)).save("model_0000001")
    Checkpointer(make_model(value=2.0), str(folder), tag_last=False).save("model_best")
    assert_last(folder, "model_0000001.pth", 1.0)


def test_a_full_disk_leaves_the_checkpoint_before(folder):
    Checkpointer(make_model(value=1.0), str(folder)).save("model_0000001")
    # A limit on the size of a file is met as a full disk is: in the middle of a write.
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1500, hard))
    try:
        with pytest.raises(OSError, match=r"Could not write .*model_0000002\.pth \(.+\).*intact"):
            Checkpointer(make_model(value=2.0), str(folder)).save("model_0000002")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not (folder / "model_0000002.pth").exists()
    assert_last(folder, "model_0000001.pth", 1.0)


def test_no_space_left_is_one_sentence_with_its_number(folder, monkeypatch):
    Checkpointer(make_model(value=1.0), str(folder)).save("model_0000001")

    def save(data, file):
        file.write(b"a part")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(torch, "save", save)
    with pytest.raises(OSError, match="No space left on device.*make room") as caught:
        Checkpointer(make_model(), str(folder)).save("model_0000001")
    assert caught.value.errno == errno.ENOSPC and "\n" not in str(caught.value)
    monkeypatch.undo()
    assert_last(folder, "model_0000001.pth", 1.0)


@pytest.mark.parametrize("moment", ["writing", "before the tag"])
def test_an_interrupted_save_leaves_the_checkpoint_before(folder, monkeypatch, moment):
    class Killed(BaseException):
        pass

    def die(*_):
        raise Killed

    Checkpointer(make_model(value=1.0), str(folder)).save("model_0000001")
    checkpointer = Checkpointer(make_model(value=2.0), str(folder))
    if moment == "writing":
        monkeypatch.setattr(torch, "save", die)
    else:
        monkeypatch.setattr(checkpointer, "tag_last_checkpoint", die)
    with pytest.raises(Killed):
        checkpointer.save("model_0000002")
    assert_last(folder, "model_0000001.pth", 1.0)


def test_leftovers_of_a_killed_process_are_removed_by_the_next_save(folder):
    (folder / ".model_0000001.pth.tmp").write_bytes(b"half")
    Checkpointer(make_model(value=1.0), str(folder)).save("model_0000002")
    assert_last(folder, "model_0000002.pth", 1.0)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_bad_weights_are_not_written(folder, bad):
    Checkpointer(make_model(value=1.0), str(folder)).save("model_0000001")
    model = make_model()
    with torch.no_grad():
        model[2].bias[1] = bad
    with pytest.raises(FloatingPointError, match=r"Not writing .*1 weights .* \(2\.bias\)"):
        Checkpointer(model, str(folder)).save("model_0000002")
    assert_last(folder, "model_0000001.pth", 1.0)


def test_other_errors_pass_through_and_leave_nothing(folder):
    with pytest.raises(ZeroDivisionError):
        write_atomically(folder / "file", lambda _: 1 / 0)
    assert not list(folder.iterdir())


@pytest.fixture
def differing(folder) -> Path:
    """A checkpoint with one key missing, five unexpected and one of another shape."""
    state = make_model().state_dict()
    del state["0.bias"]
    state["0.weight"] = torch.zeros(7, 3)
    state |= {f"extra.{i}": torch.zeros(1) for i in range(5)}
    torch.save({"model": state}, folder / "other.pth")
    return folder / "other.pth"


def test_the_checkpoint_of_another_model_is_refused_with_the_keys(differing):
    with pytest.raises(ValueError, match="of another model") as caught:
        load(differing)
    message = str(caught.value)
    assert "1 keys are missing: 0.bias;" in message
    assert "5 keys are unexpected: extra.0, extra.1, extra.2, ...;" in message
    assert "1 keys are of another shape: 0.weight (7, 3) instead of (4, 3))" in message
    assert str(differing) in message and "\n" not in message


def test_a_partial_checkpoint_serves_to_start_from(differing, caplog):
    caplog.set_level("INFO", logger="cascade_rpn_d2")
    torch.manual_seed(1)
    model = load(differing, strict=False)
    expected = torch.load(differing)["model"]
    assert torch.equal(model[2].weight, expected["2.weight"])
    assert "6 tensors of" in caplog.text and "0.bias" in caplog.text


def test_a_checkpoint_with_nothing_of_the_model_is_refused(folder):
    torch.save({"model": {"elsewhere": torch.zeros(1)}}, folder / "alien.pth")
    with pytest.raises(ValueError, match="has nothing for this model.*train.init_checkpoint"):
        load(folder / "alien.pth", strict=False)


def test_a_missing_checkpoint_is_refused(folder):
    with pytest.raises(FileNotFoundError, match="There is no checkpoint .*nowhere.pth"):
        load(folder / "nowhere.pth")


@pytest.mark.parametrize("content", [{"model": {}}, {"model": 3}, {"model": torch.zeros(2)}])
def test_a_file_without_weights_is_refused(folder, content):
    torch.save(content, folder / "empty.pth")
    with pytest.raises(ValueError, match="has no weights under 'model'"):
        load(folder / "empty.pth")


def test_what_is_no_tensor_among_the_weights_is_named(folder):
    torch.save({"model": {"0.bias": Path("somewhere")}}, folder / "objects.pth")
    with pytest.raises(ValueError, match=r"objects\.pth has '0\.bias' .* which is no tensor"):
        load(folder / "objects.pth")


def test_a_foreign_object_beside_the_weights_is_left_aside(folder, caplog):
    content = {"model": make_model(value=2.0).state_dict(), "args": argparse.Namespace(lr=0.1)}
    torch.save(content, folder / "run.pth")
    assert (load(folder / "run.pth")[2].weight == 2.0).all()
    assert "run.pth has objects of argparse.Namespace, which are left aside." in caplog.text


@pytest.mark.parametrize("prefix", ["", "model.", "module.", "model.module.", "net.detector."])
@pytest.mark.parametrize("where", ["state_dict", "model", None])
def test_the_weights_of_a_wrapper_are_the_models(folder, prefix, where, caplog):
    state = make_model(value=7.0).state_dict()
    for key in list(state):
        state[prefix + key] = state.pop(key)
    if prefix:
        state["loss.weight"] = torch.zeros(2)
    content = {where: state, "epoch": 3} if where else state
    torch.save(content, folder / "light.ckpt")
    assert (load(folder / "light.ckpt")[2].weight == 7.0).all()
    assert ("1 tensors of" in caplog.text and "(loss.weight)" in caplog.text) == bool(prefix)


def test_of_two_copies_of_a_model_the_one_with_the_shorter_prefix_is_taken(folder):
    states = {"ema_model.": make_model(value=1.0), "model.": make_model(value=7.0)}
    content = {p + k: v for p, model in states.items() for k, v in model.state_dict().items()}
    torch.save({"state_dict": content}, folder / "light.ckpt")
    assert (load(folder / "light.ckpt")[2].weight == 7.0).all()


def test_a_checkpoint_of_another_framework_is_told_from_a_damaged_one(folder):
    state = {f"backbone.{key}": torch.zeros(2) for key in ("conv1.weight", "bn1.bias")}
    torch.save({"meta": {"epoch": 12}, "state_dict": state}, folder / "mm.pth")
    with pytest.raises(ValueError, match="another framework.*`cascade-rpn convert`"):
        load(folder / "mm.pth")


def test_only_known_questions_are_asked_of_a_file(folder):
    torch.save({"model": make_model(value=4.0).state_dict()}, folder / "m.pth")
    load(f"{folder}/m.pth?matching_heuristics=True")
    with pytest.raises(ValueError, match="asks for 'strict': only .matching_heuristics=True"):
        load(f"{folder}/m.pth?strict=1")


@pytest.mark.parametrize(
    "tag", ["{other}/model_final.pth", "../other/model_final.pth", "a\\b\\model_final.pth\n"]
)
def test_the_last_checkpoint_is_never_of_another_folder(folder, tag):
    own, other = folder / "own", folder / "other"
    for path, value in ((own, 1.0), (other, 2.0)):
        path.mkdir()
        Checkpointer(make_model(value=value), str(path)).save("model_final")
    (own / "last_checkpoint").write_text(tag.format(other=other))
    assert_last(own, "model_final.pth", 1.0)
    (own / "model_final.pth").unlink()
    with pytest.raises(FileNotFoundError, match=f"no checkpoint {own}/model_final.pth"):
        Checkpointer(make_model(), str(own)).resume()


@pytest.mark.parametrize("tag", [b"", b"\n", b"..", b"/", b"a\nb", b"\x1b[2J"])
def test_a_last_checkpoint_without_a_name_is_one_sentence(folder, tag):
    (folder / "last_checkpoint").write_bytes(tag)
    with pytest.raises((ValueError, OSError)) as caught:
        Checkpointer(make_model(), str(folder)).resume()
    assert str(caught.value).isprintable() and str(folder) in str(caught.value)


def test_the_state_of_another_kind_of_run_cannot_be_resumed(folder):
    torch.save({"model": make_model().state_dict(), "trainer": {"a": 1}}, folder / "m.pth")
    (folder / "last_checkpoint").write_text("m.pth")
    trainer = torch.optim.SGD(make_model().parameters(), 0.1)
    with pytest.raises(ValueError, match=r"m\.pth cannot be resumed from, its 'trainer' is not"):
        Checkpointer(make_model(), str(folder), trainer=trainer).resume()


def test_a_failed_download_is_one_sentence_alone(folder, monkeypatch, capfd):
    monkeypatch.setenv("FVCORE_CACHE", str(folder))
    with pytest.raises(OSError, match="Cannot get http://127.0.0.1:9/a.pth .*check the address"):
        load("http://127.0.0.1:9/a.pth")
    assert capfd.readouterr().err == ""


def test_a_failed_load_does_not_spoil_the_next(folder, differing):
    model = make_model()
    checkpointer = Checkpointer(model, str(folder))
    Checkpointer(make_model(value=3.0), str(folder)).save("good")
    for bad in (differing, folder / "nowhere.pth"):
        with pytest.raises((ValueError, OSError)):
            checkpointer.load(str(bad))
    checkpointer.load(str(folder / "good.pth"))
    assert (model[0].weight == 3.0).all()


def test_weights_alone_cannot_be_resumed_from(folder):
    Checkpointer(make_model(), str(folder)).save("model_final")
    with pytest.raises(ValueError, match="cannot be resumed from, it has no 'trainer'"):
        Checkpointer(make_model(), str(folder), trainer=nn.Linear(1, 1)).resume()


def test_no_path_loads_nothing():
    assert Checkpointer(make_model()).load("") == {}


def test_a_zoo_file_of_arrays_is_loaded_whole_or_by_matching_names(folder):
    state = {key: value.numpy() for key, value in make_model(value=5.0).state_dict().items()}
    (folder / "zoo.pkl").write_bytes(pickle.dumps({"model": state, "__author__": "us"}))
    assert (load(folder / "zoo.pkl")[2].weight == 5.0).all()
    inner = nn.ModuleDict({"backbone": make_model()})
    matching = {"model": state, "__author__": "us", "matching_heuristics": True}
    (folder / "trunk.pkl").write_bytes(pickle.dumps(matching))
    load(folder / "trunk.pkl", inner, strict=False)
    assert (inner["backbone"][2].weight == 5.0).all()


def test_files_of_detectron_and_pycls_are_loaded_by_matching_names(folder):
    inner = nn.ModuleDict({"backbone": nn.ModuleDict({"res2": make_model()})})
    state = {f"res2.{k}": v for k, v in make_model(value=5.0).state_dict().items()}
    arrays = {k: v.numpy() for k, v in state.items()}
    blobs = {k: v for k, v in arrays.items() if "num_batches" not in k} | {"res2.a_momentum": 3}
    for content in ({"blobs": blobs, "cfg": "MODEL:"}, blobs, {"model": arrays}):
        model = copy.deepcopy(inner)
        (folder / "theirs.pkl").write_bytes(pickle.dumps(content, protocol=2))
        if "model" in content:  # of our names, or it would not fit
            content["model"] = {f"backbone.{k}": v for k, v in arrays.items()}
            (folder / "theirs.pkl").write_bytes(pickle.dumps(content, protocol=2))
        load(folder / "theirs.pkl", model, strict=False)
        assert (model["backbone"]["res2"][2].weight == 5.0).all()
    torch.save({"model_state": state, "cfg": "x"}, folder / "theirs.pyth")
    load(folder / "theirs.pyth", inner, strict=False)
    assert (inner["backbone"]["res2"][2].weight == 5.0).all()


def test_an_imagenet_trunk_starts_a_detection_backbone(shared_dir):
    from detectron2.modeling.backbone import BasicStem, ResNet

    stages = ResNet.make_default_stages(18, norm="FrozenBN")[:3]
    backbone = ResNet(BasicStem(norm="FrozenBN"), stages, out_features=["res4"])
    model = nn.ModuleDict({"backbone": nn.ModuleDict({"bottom_up": backbone})})
    before = backbone.stages[2][1].conv2.weight.detach().clone()
    path = shared_dir / "weights" / "R-18-conv1-res4.pkl"
    load(path, model, strict=False)
    assert not torch.equal(before, backbone.stages[2][1].conv2.weight)
    with pytest.raises(ValueError, match="of another model"):
        load(path, make_model())
