"""Files of proposals: what is written comes back, and what is broken is said in one sentence."""

from __future__ import annotations

import json
import pickle
import re
import tracemalloc
import zipfile

import numpy as np
import pytest
from detectron2.data.build import load_proposals_into_dataset
from detectron2.structures import BoxMode

from cascade_rpn_d2.data import ProposalFile, ProposalFileError, read_proposals, write_proposals
from cascade_rpn_d2.data.proposal_file import join_proposals, read_proposal_index

COUNTS = (3, 0, 5)


def images(ids=(9, 4, 7), counts=COUNTS, seed=0):
    """Ids, boxes and logits of images, the logits in no order."""
    rng = np.random.default_rng(seed)
    corners = [rng.random((n, 2), np.float32) * 50 for n in counts]
    boxes = [np.concatenate([c, c + rng.random((len(c), 2), np.float32)], axis=1) for c in corners]
    logits = [rng.standard_normal(n).astype(np.float32) for n in counts]
    return list(ids), boxes, logits


@pytest.fixture
def path(tmp_path):
    """A good file."""
    file = tmp_path / "proposals.npz"
    write_proposals(file, ProposalFile.from_images(*images(), {"dataset": "mine"}))
    return file


@pytest.mark.parametrize("ids", [(9, 4, 7), ("a", "bcd", "ä")])
def test_what_is_written_comes_back_best_first(tmp_path, ids):
    ids, boxes, logits = images(ids)
    file = tmp_path / "p.npz"
    write_proposals(file, ProposalFile.from_images(ids, boxes, logits, {"dataset": "mine"}))
    found = read_proposals(file)
    assert list(found.ids) == ids and len(found) == 3 and found.metadata["dataset"] == "mine"
    for image, box, logit in zip(ids, boxes, logits, strict=True):
        order = np.argsort(-logit)
        assert image in found
        np.testing.assert_array_equal(found.of(image)[0], box[order])
        np.testing.assert_array_equal(found.of(image)[1], logit[order])
    assert "absent" not in found and read_proposal_index(file).ids == ids
    with pytest.raises(KeyError):
        found.of("absent")


def test_a_number_and_its_digits_are_the_same_id(path):
    found = read_proposals(path)
    assert "9" in found
    np.testing.assert_array_equal(found.of("9")[0], found.of(9)[0])


@pytest.mark.parametrize("topk", [1, 2, 4, 100])
def test_of_every_image_the_best_are_read(path, topk, monkeypatch):
    monkeypatch.setattr("cascade_rpn_d2.data.proposal_archive._BLOCK", 3)  # images end inside
    everything, best = read_proposals(path), read_proposals(path, topk=topk)
    assert np.diff(best.offsets).tolist() == [min(n, topk) for n in COUNTS]
    for image in everything.ids:
        for whole, part in zip(everything.of(image), best.of(image), strict=True):
            np.testing.assert_array_equal(part, whole[:topk])


def test_equal_contents_are_equal_bytes_and_numpy_reads_them(path, tmp_path):
    other = tmp_path / "other.npz"
    write_proposals(other, read_proposals(path))
    assert other.read_bytes() == path.read_bytes()
    with np.load(path, allow_pickle=False) as arrays:
        assert arrays["boxes"].shape == (8, 4) and arrays["boxes"].dtype == np.float32
        assert arrays["offsets"].tolist() == [0, 3, 3, 8]
        metadata = json.loads(str(arrays["metadata"]))
    assert metadata["version"] == 1 and metadata["dataset"] == "mine"


def test_parts_are_joined_in_order(tmp_path):
    parts = []
    for seed, ids in enumerate([(1, 2, 3), (30, 20, 10)]):
        parts.append(tmp_path / f"{seed}.npz")
        names = [f"folder/{i}.png" for i in ids]
        part = ProposalFile.from_images(*images(ids, seed=seed), file_names=names)
        write_proposals(parts[-1], part)
    join_proposals(tmp_path / "all.npz", parts, {"topk": 5})
    join_proposals(tmp_path / "all.pkl", parts, {}, as_pickle=True)
    index = read_proposal_index(tmp_path / "all.npz")
    assert index.file_names == [f"{i}.png" for i in (1, 2, 3, 30, 20, 10)]
    assert index.metadata["topk"] == 5
    for found in (
        read_proposals(tmp_path / "all.npz"),
        read_proposals(tmp_path / "all.pkl"),
    ):
        assert list(found.ids) == [1, 2, 3, 30, 20, 10]
        for part in map(read_proposals, parts):
            for image in part.ids:
                np.testing.assert_array_equal(found.of(image)[0], part.of(image)[0])


def test_parts_without_names_are_joined(tmp_path):
    write_proposals(tmp_path / "p.npz", ProposalFile.from_images(*images()))
    join_proposals(tmp_path / "all.npz", [tmp_path / "p.npz"], {})
    assert list(read_proposals(tmp_path / "all.npz").file_names) == []


def test_no_images_are_a_file_too(tmp_path):
    write_proposals(tmp_path / "p.npz", ProposalFile.from_images([], [], []))
    assert len(read_proposals(tmp_path / "p.npz", topk=3)) == 0


def test_a_file_that_is_not_there_says_how_to_make_it(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"no file of proposals at .*cascade-rpn dump-proposals"
    ):
        read_proposals(tmp_path / "absent.npz")


def member(path, name, array):
    """Replace an array of a file."""
    with np.load(path) as arrays:
        content = dict(arrays)
    content[name] = array
    np.savez(path, **{k: v for k, v in content.items() if v is not None})


MANY = np.ones((9_999, 4), np.float32)
BOXES = np.tile(np.float32([[1, 2, 3, 4]]), (8, 1))


def changed(array, index, value):
    array = array.copy()
    array[index] = value
    return array


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("ids", None, "is no file of proposals, it has no 'ids'"),
        ("metadata", np.array("not json"), "metadata are of something else"),
        ("metadata", np.array('{"format": "other"}'), "metadata are of something else"),
        (
            "metadata",
            np.array('{"format": "cascade_rpn_d2 proposals", "version": 2}'),
            "has version 2 of the format, and this package reads version 1",
        ),
        ("ids", np.array([1, 2**64 - 1, 3], np.uint64), "id 18446744073709551615 is beyond int64"),
        ("offsets", np.array([0, 3, 3, 2**64 - 1], np.uint64), "offset 18.* is beyond int64"),
        ("metadata", np.array("[" * 100_000), "metadata are of something else"),
        ("offsets", np.array([0, 3, 8]), "does not add up .*3 ids and offsets of shape"),
        ("offsets", np.array([0, 5, 3, 8]), "does not add up .*do not ascend"),
        ("offsets", np.array([0, 3, 3, 9]), r"does not add up .*boxes are float32 \(8, 4\), not"),
        ("file_names", np.array(["a.png"]), "does not add up .*file_names are <U5"),
        ("boxes", BOXES.astype(np.float64), "does not add up .*boxes are float64"),
        ("boxes", BOXES[:, :3], "does not add up"),
        ("ids", np.array([1.0, 2.0, 3.0]), "does not add up .*ids are float64"),
        ("ids", np.array([1, 2, 1]), "an image id occurs twice"),
        ("boxes", changed(BOXES, (4, 2), np.nan), "image 7 has boxes that are not finite"),
        ("boxes", changed(BOXES, (1, 0), np.inf), "image 9 has boxes that are not finite"),
        ("boxes", changed(BOXES, (1, 0), 5), "image 9 has boxes that are not x1, y1, x2, y2"),
        ("objectness_logits", np.full(8, np.nan, np.float32), "objectness_logits that are not f"),
        ("objectness_logits", np.arange(8, dtype=np.float32), "image 9 has proposals that are not"),
    ],
)
def test_what_does_not_fit_is_said(path, name, array, message):
    member(path, name, array)
    with pytest.raises(ProposalFileError, match=message) as caught:
        read_proposals(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_pickled_objects_are_not_read(path):
    member(path, "ids", np.array([1, "a", None], object))
    with pytest.raises(ProposalFileError, match="does not add up .*ids are object"):
        read_proposals(path)


def test_damage_is_noticed(path, tmp_path):
    content = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo("boxes.npy")
    at = info.header_offset + 250
    flipped = tmp_path / "flipped.npz"
    flipped.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
    with pytest.raises(ProposalFileError, match="is damaged .its checksum is wrong"):
        read_proposals(flipped)
    short = tmp_path / "short.npz"
    for kept in (0, 10, len(content) // 2, len(content) - 1):
        short.write_bytes(content[:kept])
        with pytest.raises(ProposalFileError, match=re.escape(str(short))):
            read_proposals(short)
    text = tmp_path / "text.npz"
    for content, message in (
        ("no archive", "is no file of proposals"),
        ("<html>", r"text\.npz is an HTML page: download the file itself"),
    ):
        text.write_text(content)
        with pytest.raises(ProposalFileError, match=message):
            read_proposals(text)


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_compressed_members_are_refused(path, method):
    # 3 kB can become gigabytes.
    with np.load(path) as arrays:
        content = dict(arrays)
    with zipfile.ZipFile(path, "w") as archive:
        del content["boxes"]
        for name, array in content.items():
            with archive.open(f"{name}.npy", "w") as stream:
                np.save(stream, array)
        archive.writestr("boxes.npy", b"0" * 1_000_000, compress_type=method)
    for read in (read_proposals, read_proposal_index):
        with pytest.raises(ProposalFileError, match=r"is compressed \('boxes\.npy'\)") as caught:
            read(path)
        assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_members_that_are_larger_than_the_file_are_refused(path):
    content = path.read_bytes()
    at = content.rindex(b"boxes.npy") - 46  # in the directory at the end
    assert content[at : at + 4] == b"PK\x01\x02"
    path.write_bytes(content[: at + 24] + b"\xff\xff\xff\x7f" + content[at + 28 :])
    with pytest.raises(ProposalFileError, match="claims to hold more than its size"):
        read_proposals(path)


@pytest.mark.parametrize("name", ["ids", "offsets", "boxes"])
@pytest.mark.parametrize("shape", ["(10000000000,)", "(-1,)", "(10000000000, 0)"])
@pytest.mark.parametrize("dtype", ["<i8", "|S0", "|O"])
def test_an_array_takes_no_more_memory_than_the_file_has(path, name, shape, dtype):
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}}}".encode()
    with np.load(path) as arrays:
        content = dict(arrays)
    with zipfile.ZipFile(path, "w") as archive:
        for key, array in content.items():
            with archive.open(f"{key}.npy", "w") as stream:
                if key == name:
                    stream.write(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
                else:
                    np.save(stream, array)
    tracemalloc.start()
    with pytest.raises(ProposalFileError, match="does not add up"):
        read_proposals(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000


def test_ids_beyond_int64_are_neither_read_nor_written(path, tmp_path):
    with pytest.raises(ProposalFileError, match="image id 18446744073709551615 is beyond int64"):
        ProposalFile.from_images(*images(ids=(1, 2**64 - 1, 3)))
    file = tmp_path / "p.pkl"
    content = {"ids": [-(2**70)], "boxes": [np.ones((1, 4))], "objectness_logits": [np.ones(1)]}
    file.write_bytes(pickle.dumps(content))
    with pytest.raises(ProposalFileError, match=f"{file} cannot be used: .*is beyond int64"):
        read_proposals(file)


def test_negative_ids_are_ids(tmp_path):
    write_proposals(tmp_path / "p.npz", ProposalFile.from_images(*images(ids=(-1, 0, -(2**63)))))
    assert read_proposals(tmp_path / "p.npz").of(-(2**63))[0].shape == (5, 4)


def test_detectron2_reads_our_pickle_and_we_read_it(tmp_path):
    ids, boxes, logits = images()
    file = tmp_path / "p.pkl"
    write_proposals(file, ProposalFile.from_images(ids, boxes, logits), as_pickle=True)
    records = load_proposals_into_dataset([{"image_id": i} for i in ids], str(file))
    found = read_proposals(file)
    for record in records:
        assert record["proposal_bbox_mode"] == BoxMode.XYXY_ABS
        np.testing.assert_array_equal(record["proposal_boxes"], found.of(record["image_id"])[0])
        np.testing.assert_array_equal(
            record["proposal_objectness_logits"], found.of(record["image_id"])[1]
        )
    assert len(read_proposals(file, topk=2).of(7)[0]) == 2


def test_pickles_of_other_modes_and_names_are_understood(tmp_path):
    file = tmp_path / "p.pkl"
    content = {
        "indexes": np.array([3]),
        "boxes": [np.array([[1.0, 2, 10, 20]])],
        "scores": [np.array([0.5])],
        "bbox_mode": BoxMode.XYWH_ABS.value,
    }
    file.write_bytes(pickle.dumps(content))
    found = read_proposals(file)
    assert found.of(3)[0].tolist() == [[1, 2, 11, 22]] and found.boxes.dtype == np.float32


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (["a list"], "has no 'ids'"),
        ({"ids": [1], "boxes": []}, "has no 'objectness_logits'"),
        ({"ids": [1], "boxes": [], "objectness_logits": []}, "does not add up"),
        (
            {"ids": [1], "boxes": [np.ones((2, 4))], "objectness_logits": [np.ones(3)]},
            "image 1 has boxes",
        ),
        ({"ids": 1, "boxes": [], "objectness_logits": []}, "has no 'ids'"),
        ({"ids": np.array(1), "boxes": [], "objectness_logits": []}, "has no 'ids'"),
        ({"ids": ["\x1b"], "boxes": ["a"], "objectness_logits": [[[1], []]]}, "image \ufffd has"),
        (
            {"ids": [1], "boxes": [np.ones((1, 4))], "objectness_logits": [[1]], "bbox_mode": 4},
            "boxes of mode 4, which is none of",
        ),
        (
            # One array for all images.
            {"ids": [*range(99)], "boxes": [MANY] * 99, "objectness_logits": [MANY[:, 0]] * 99},
            "does not add up",
        ),
        (BoxMode.XYWH_ABS, "names detectron2.structures.boxes.BoxMode"),
    ],
)
def test_pickles_of_something_else_are_said(tmp_path, content, message):
    file = tmp_path / "p.pkl"
    file.write_bytes(pickle.dumps(content))
    with pytest.raises(ProposalFileError, match=message) as caught:
        read_proposals(file)
    assert str(file) in str(caught.value) and str(caught.value).isprintable()
    file.write_bytes(b"\x80 nothing")
    with pytest.raises(ProposalFileError, match="is damaged or no pickle"):
        read_proposals(file)


def test_the_ending_must_fit_the_format(tmp_path):
    proposals = ProposalFile.from_images(*images())
    with pytest.raises(ValueError, match=r"name that ends in \.npz"):
        write_proposals(tmp_path / "p.pkl", proposals)
    with pytest.raises(ValueError, match=r"name that ends in \.pkl"):
        write_proposals(tmp_path / "p.npz", proposals, as_pickle=True)
    assert not list(tmp_path.iterdir())
