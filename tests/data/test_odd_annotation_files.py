"""Whatever a field of an annotation file holds: a clean reading, or one sentence that names it."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import logging
import math
from pathlib import Path

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from cascade_rpn_d2.data import register_coco_folder
from cascade_rpn_d2.data.coco_fields import is_printable
from cascade_rpn_d2.evaluation import ProposalRecallEvaluator

FIELDS = [
    ("images", "id"),
    ("images", "file_name"),
    ("images", "width"),
    ("images", "height"),
    ("categories", "id"),
    ("categories", "name"),
    ("annotations", "id"),
    ("annotations", "image_id"),
    ("annotations", "category_id"),
    ("annotations", "bbox"),
    ("annotations", "area"),
    ("annotations", "iscrowd"),
    ("annotations", "segmentation"),
]
MISSING = object()
ODD = {
    "missing": MISSING,
    "null": None,
    "true": True,
    "zero": 0,
    "minus one": -1,
    "fraction": 1.5,
    "float": 7.0,
    "minus zero": -0.0,
    "tiny": 5e-324,
    "NaN": math.nan,
    "infinity": math.inf,
    "2^53": 2**53,
    "2^64 - 1": 2**64 - 1,
    "of 400 digits": 10**400,
    "of 308 digits": -(10**308),
    "empty text": "",
    "a number as text": "7",
    "a long number as text": "9" * 5000,
    "yes": "yes",
    "escape": "\x1b[31mred\x1b]0;title\x07",
    "C1 control": "\x9b31m",
    "line break": "a\nb.png",
    "separator": "a\u2028b",
    "NUL": "b.png\0",
    "surrogate": "\ud800",
    "turned round": "\u202egnp.b",
    "long text": "x" * 100_000,
    "path": "/etc/passwd",
    "path upwards": "../../b.png",
    "folder": ".",
    "list": [],
    "lists": [[[[[[1]]]]]],
    "object": {},
    "objects": {"id": {"id": {"id": 1}}},
    "four texts": ["1", "2", "3", "4"],
    "four of 400 digits": [10**400] * 4,
    "four of 300 digits": [10**300] * 4,
    "four infinities": [math.inf] * 4,
    "four zeros": [0, 0, 0, 0],
    "five": [1, 2, 3, 4, 5],
}


def register(path: Path, content) -> str | None:
    """Register a dataset, and see that training and evaluation can use it.

    Returns:
        The sentence that refuses it instead.

    Raises:
        Exception: what no bad input is to raise.
    """
    labels = path / "labels.json"
    labels.write_text(json.dumps(content))
    try:
        name = register_coco_folder(f"{path / 'images'}:{labels}")
    except (ValueError, FileNotFoundError) as error:
        message = str(error)
        assert str(labels) in message and message.endswith("."), message
        assert is_printable(message) and len(message) < 2000, message
        return message
    records = DatasetCatalog.get(name)
    for record in records:
        assert record["width"] > 0 and record["height"] > 0
        assert Path(record["file_name"]).resolve().is_relative_to(path / "images")
        for annotation in record["annotations"]:
            x0, y0, x1, y1 = annotation["bbox"]
            assert 0 <= x0 < x1 <= record["width"] and 0 <= y0 < y1 <= record["height"]
            assert annotation["iscrowd"] in (0, 1)
    metadata = MetadataCatalog.get(name)
    assert all(map(is_printable, metadata.thing_classes))
    evaluate(metadata, records)
    recall = ProposalRecallEvaluator(name)
    recall.reset()
    assert 0 <= recall.num_objects <= 3
    return None


def evaluate(metadata, records) -> None:
    """Evaluate the boxes that are trained on: every one is found."""
    category_of = {i: c for c, i in metadata.thing_dataset_id_to_contiguous_id.items()}
    detections = [
        {
            "image_id": record["image_id"],
            "category_id": category_of[a["category_id"]],
            "bbox": [*a["bbox"][:2], a["bbox"][2] - a["bbox"][0], a["bbox"][3] - a["bbox"][1]],
            "score": 0.9,
        }
        for record in records
        for a in record["annotations"]
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(metadata.json_file)
        assert len(truth.anns) == len(truth.dataset["annotations"]), "ids are repeated"
        if detections:
            evaluation = COCOeval(truth, truth.loadRes(detections), "bbox")
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
            assert evaluation.stats[0] > 0 or evaluation.stats[0] == -1


@pytest.mark.parametrize(("key", "field"), FIELDS)
def test_an_odd_value_is_understood_or_named(write, content, tmp_path, caplog, key, field):
    write(content)
    caplog.set_level(logging.INFO, "cascade_rpn_d2")
    read = []
    for name, value in ODD.items():
        changed = copy.deepcopy(content)
        changed[key][0][field] = value
        if value is MISSING:
            del changed[key][0][field]
        try:
            message = register(tmp_path / "data", changed)
        except Exception as error:
            raise AssertionError(f"{field} {name}: {error!r}") from error
        if message is None:
            read.append(name)
        elif field != "file_name" or "are missing in" not in message:
            named = f"{key}[0]" in message and field in message
            # An id that nothing refers to any more is seen where it is referred to.
            assert named or field == "id" and key in message and "id" in message, message
    free = ["id", "bbox", "area", "segmentation"] if key == "annotations" else []
    assert (len(read) == len(ODD)) == (field in free)
    for line in caplog.messages:
        assert is_printable(line) and len(line) < 2000


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@given(changes=st.lists(st.tuples(st.sampled_from(FIELDS), st.integers(0, 2), VALUES), max_size=4))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_values_are_understood_or_named(write, content, tmp_path, changes):
    if not (tmp_path / "data").exists():
        write(content)
    changed = copy.deepcopy(content)
    for (key, field), position, value in changes:
        changed[key][position][field] = value
    register(tmp_path / "data", changed)
