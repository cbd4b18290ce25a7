"""Weights published by others: downloaded, verified, and converted once."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.engine import DefaultPredictor

from cascade_rpn_d2 import model_zoo
from cascade_rpn_d2.config import files
from cascade_rpn_d2.data.cache import ENVIRONMENT
from cascade_rpn_d2.engine.predictor import load_predictor
from cascade_rpn_d2.files.digest import sha256_of
from cascade_rpn_d2.model_zoo import PUBLISHED, PublishedCheckpoint, published
from tests.checkpoint.foreign_states import as_mmdet


@pytest.fixture(scope="module")
def weights(repository):
    torch.manual_seed(7)
    config_file = str(repository / "tests/tiny_configs/tiny_rpn.py")
    return model_zoo.get(config_file, device="cpu").state_dict()


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv(ENVIRONMENT, str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def source(repository, tmp_path, monkeypatch, weights, cache) -> Path:
    """A checkpoint of mmdet that is published for tiny_rpn.py, on a server that is a folder."""
    monkeypatch.setattr(files, "configs_dir", lambda: repository / "tests/tiny_configs")
    file = tmp_path / "server" / "tiny.pth"
    file.parent.mkdir()
    torch.save({"meta": {"epoch": 12}, "state_dict": as_mmdet(weights)}, file)
    publish(monkeypatch, file)
    return file


@pytest.fixture
def conversions(monkeypatch) -> list[str]:
    """The files that have been converted."""
    seen: list[str] = []
    original = published.convert_checkpoint

    def convert(src, model, **options):
        seen.append(str(src))
        return original(src, model, **options)

    monkeypatch.setattr(published, "convert_checkpoint", convert)
    return seen


def publish(monkeypatch, file: Path, sha256: str = "", url: str = "") -> None:
    entry = PublishedCheckpoint(url or str(file), sha256 or sha256_of(file)[:8])
    monkeypatch.setitem(PUBLISHED, "tiny_rpn.py", entry)


def assert_equal(state: dict, weights: dict) -> None:
    assert state.keys() == weights.keys()
    assert all(torch.equal(state[key], value) for key, value in weights.items())


def test_every_way_in_gets_the_weights_and_one_conversion_serves_all(source, weights, conversions):
    assert model_zoo.has_checkpoint("tiny_rpn")
    assert_equal(model_zoo.get("tiny_rpn", trained=True, device="cpu").state_dict(), weights)
    source.unlink()  # no longer needed
    cfg = model_zoo.get_predictor_cfg("tiny_rpn")
    cfg.MODEL.DEVICE = "cpu"
    assert_equal(DefaultPredictor(cfg).model.state_dict(), weights)
    predictor, _ = load_predictor("tiny_rpn", device="cpu")
    assert_equal(predictor.model.state_dict(), weights)
    assert conversions == [str(source)]


def test_detectron2_loads_the_file_of_the_cache(source, weights, cache):
    file = model_zoo.get_checkpoint_file("tiny_rpn.py")
    assert Path(file).is_relative_to(cache)
    assert not list(Path(file).parent.parent.glob(".*"))
    model = model_zoo.get("tiny_rpn", device="cpu")
    assert not DetectionCheckpointer(model).load(file)["matching_heuristics"]
    assert_equal(model.state_dict(), weights)


def test_another_file_than_the_one_published_is_refused(source, monkeypatch, cache):
    found = sha256_of(source)
    publish(monkeypatch, source, sha256="01234567")
    message = rf"tiny\.pth has the SHA-256 {found}, which does not begin with 01234567: delete it"
    with pytest.raises(ValueError, match=message) as caught:
        model_zoo.get("tiny_rpn", trained=True, device="cpu")
    assert "\n" not in str(caught.value) and not cache.exists()


@pytest.mark.parametrize("damage", ["short", "removed", "no digest"])
def test_a_damaged_cache_is_made_anew(source, weights, conversions, damage, caplog):
    file = Path(model_zoo.get_checkpoint_file("tiny_rpn"))
    if damage == "short":
        file.write_bytes(file.read_bytes()[:-10])
    else:
        (file if damage == "removed" else file.with_name("sha256")).unlink()
    assert_equal(model_zoo.get("tiny_rpn", trained=True, device="cpu").state_dict(), weights)
    assert len(conversions) == 2 and "is damaged; converting" in caplog.text
    model_zoo.get_checkpoint_file("tiny_rpn")
    assert len(conversions) == 2


def test_without_a_network_the_message_says_what_to_do(source, monkeypatch, cache, tmp_path):
    monkeypatch.setenv("FVCORE_CACHE", str(tmp_path / "downloads"))
    # Nothing listens on this port of this machine.
    publish(monkeypatch, source, url="http://127.0.0.1:9/tiny.pth")
    with pytest.raises(OSError, match="Cannot download .*'tiny_rpn.py' from http.*refused") as info:
        model_zoo.get_predictor_cfg("tiny_rpn")
    text = str(info.value)
    assert "cascade-rpn convert" in text and "\n" not in text and not cache.exists()
    publish(monkeypatch, source)
    source.unlink()
    with pytest.raises(FileNotFoundError, match="There is no .*tiny.pth with the weights of"):
        model_zoo.get_checkpoint_file("tiny_rpn")


def test_a_file_that_does_not_fit_leaves_nothing(source, monkeypatch, cache):
    torch.save({"state_dict": {"backbone.conv1.weight": torch.zeros(1)}}, source)
    publish(monkeypatch, source)
    with pytest.raises(ValueError, match=r"tiny\.pth does not fit the config: .*of shape \(1,\)"):
        model_zoo.get_checkpoint_file("tiny_rpn")
    assert not cache.exists()


def test_a_cache_that_cannot_be_written_is_one_sentence(source, cache):
    cache.write_text("in the way")
    with pytest.raises(OSError, match=f"cannot write .*set {ENVIRONMENT}"):
        model_zoo.get_checkpoint_file("tiny_rpn")


def test_what_is_done_to_a_location_branch_is_logged(repository, source, monkeypatch, caplog):
    model = model_zoo.get(
        str(repository / "tests/tiny_configs/tiny_guided_anchor_rpn.py"), device="cpu"
    )
    torch.save({"state_dict": as_mmdet(model.state_dict())}, source)
    entry = PublishedCheckpoint(str(source), sha256_of(source)[:8])
    monkeypatch.setitem(PUBLISHED, "tiny_guided_anchor_rpn.py", entry)
    file = model_zoo.get_checkpoint_file("tiny_guided_anchor_rpn.py")
    assert "tiny.pth: Whether its location branch" in caplog.text
    assert "on 16 drawn pictures" in caplog.text
    assert_equal(torch.load(file, weights_only=True)["model"], model.state_dict())


def test_two_processes_may_convert_at_once(source, weights, monkeypatch):
    original = published.write_conversion

    def write(conversion, dst):
        original(conversion, dst)
        # The other process is done just before.
        folder = Path(dst).parents[1] / f"v1-{source.stem}"
        shutil.copytree(Path(dst).parent, folder, dirs_exist_ok=True)
        (folder / "sha256").write_text(sha256_of(folder / "model.pth"))

    monkeypatch.setattr(published, "write_conversion", write)
    file = model_zoo.get_checkpoint_file("tiny_rpn")
    assert_equal(torch.load(file, weights_only=True)["model"], weights)


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_entries_are_of_configs_that_exist_and_names_have_their_digest(name):
    entry = PUBLISHED[name]
    assert entry.url.startswith("https://") and entry.url.endswith(f"-{entry.sha256}.pth")
    assert len(entry.sha256) == 8 and int(entry.sha256, 16)
    assert name in model_zoo.list_configs()
