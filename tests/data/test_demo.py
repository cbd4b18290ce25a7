"""The demo dataset is registered without being drawn, and drawn once, whole and always the same."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
from pathlib import Path

import cv2
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog

from cascade_rpn_d2.data import demo, register_demo_dataset


@pytest.fixture
def few(monkeypatch):
    """Few pictures, as drawing them all takes seconds."""
    monkeypatch.setattr(demo, "SPLITS", {demo.TRAIN: 3, demo.VAL: 2})


def digest(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def test_registering_writes_nothing_and_the_metadata_is_complete(cache):
    for name in (demo.TRAIN, demo.VAL):
        metadata = MetadataCatalog.get(name)
        assert metadata.thing_classes == ["ellipse", "rectangle", "star"]
        assert metadata.thing_dataset_id_to_contiguous_id == {1: 0, 2: 1, 3: 2}
        assert cache in Path(metadata.json_file).parents
        assert cache in Path(metadata.image_root).parents
        assert metadata.evaluator_type == "coco"
    assert not cache.exists()


def test_registering_again_is_fine_and_follows_the_cache(cache, monkeypatch, tmp_path):
    register_demo_dataset()
    monkeypatch.setenv("CASCADE_RPN_D2_CACHE", str(tmp_path / "elsewhere"))
    register_demo_dataset()
    assert "elsewhere" in MetadataCatalog.get(demo.VAL).json_file


def test_drawn_on_first_use_in_coco_format(few, cache):
    records = DatasetCatalog.get(demo.TRAIN)
    assert len(records) == 3 and len(DatasetCatalog.get(demo.VAL)) == 2
    metadata = MetadataCatalog.get(demo.TRAIN)
    content = json.loads(Path(metadata.json_file).read_text())
    assert [c["name"] for c in content["categories"]] == metadata.thing_classes
    assert min(a["id"] for a in content["annotations"]) == 1
    for record in records:
        assert Path(record["file_name"]).parent == Path(metadata.image_root)
        image = cv2.imread(record["file_name"])
        assert image.shape == (record["height"], record["width"], 3)
        assert record["annotations"]
        assert all(0 <= a["category_id"] < 3 for a in record["annotations"])
    assert sum(len(r["annotations"]) for r in records) == len(content["annotations"])


def test_always_the_same(few, tmp_path):
    demo.generate_demo_dataset(tmp_path / "one")
    demo.generate_demo_dataset(tmp_path / "other")
    files = digest(tmp_path / "one")
    assert files == digest(tmp_path / "other")
    assert len(files) == 3 + 2 + 2
    assert len(set(files.values())) == len(files), "two pictures are equal"


def test_the_objects_of_this_version():
    # What is drawn must not change under one version: the published numbers and the demo's
    # checkpoint belong to it. Pixels may differ in the last bit between machines, boxes do not.
    boxes = [shape.box for shape in demo.scene(demo.TRAIN, 1)[1]]
    assert len(boxes) == 7 and boxes[:2] == [(0, 156, 187, 68), (120, 0, 136, 144)]
    boxes = [shape.box for shape in demo.scene(demo.VAL, 120)[1]]
    assert len(boxes) == 8 and boxes[:2] == [(104, 0, 145, 52), (4, 45, 220, 59)]


def test_drawn_once(few, cache):
    DatasetCatalog.get(demo.TRAIN)
    changed = {path: path.stat().st_mtime_ns for path in cache.rglob("*")}
    DatasetCatalog.get(demo.TRAIN)
    DatasetCatalog.get(demo.VAL)
    assert changed == {path: path.stat().st_mtime_ns for path in cache.rglob("*")}


def _generate(root: Path, start: multiprocessing.synchronize.Barrier) -> None:
    start.wait()
    demo.generate_demo_dataset(root)


def test_two_processes_at_once(few, tmp_path):
    context = multiprocessing.get_context("fork")
    start = context.Barrier(2)
    root = tmp_path / "cache" / "demo"
    processes = [context.Process(target=_generate, args=(root, start)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0]
    assert [path.name for path in root.parent.iterdir()] == ["demo"]
    assert len(digest(root)) == 3 + 2 + 2


@pytest.mark.slow
def test_the_whole_dataset(cache):
    assert len(DatasetCatalog.get(demo.TRAIN)) == 320
    records = DatasetCatalog.get(demo.VAL)
    assert len(records) == 120
    assert sum(len(record["annotations"]) for record in records) > 1200
