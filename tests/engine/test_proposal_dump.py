"""Dumps of proposals: all images, killed and gone on with, and used to train Fast R-CNN."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.config import LazyCall as L
from detectron2.config import instantiate
from detectron2.data import DatasetCatalog
from detectron2.evaluation import COCOEvaluator
from detectron2.layers import ShapeSpec
from detectron2.modeling.box_regression import Box2BoxTransform
from detectron2.modeling.matcher import Matcher
from detectron2.modeling.meta_arch import GeneralizedRCNN
from detectron2.modeling.poolers import ROIPooler
from detectron2.modeling.roi_heads import FastRCNNConvFCHead, FastRCNNOutputLayers, StandardROIHeads

from cascade_rpn_d2.data import (
    get_detection_dataset_with_proposals,
    read_proposals,
    register_coco_folder,
)
from cascade_rpn_d2.engine import dump_proposals, evaluate_checkpoint, proposal_dump, train
from cascade_rpn_d2.engine.proposal_data import use_proposals
from cascade_rpn_d2.engine.proposal_dump import (
    _Progress,
    default_chunk_size,
    records_to_propose_for,
)
from tests.engine.tiny_data import write_dataset


@pytest.fixture
def weights(tiny_config, tmp_path) -> str:
    return save(tiny_config("out"), tmp_path / "weights.pth", seed=1)


def save(config, file: Path, seed: int) -> str:
    torch.manual_seed(seed)
    torch.save({"model": instantiate(config.model).state_dict()}, file)
    return str(file)


@pytest.fixture
def dump(tiny_config, tiny_data, weights, tmp_path):
    """Dumps the tiny data; returns what is in the file."""

    def call(*overrides: str, **options):
        arguments = {"weights": weights, "dataset": tiny_data, "output": tmp_path / "p.npz"}
        config = tiny_config("out", *overrides)
        return read_proposals(
            dump_proposals(config, **(arguments | {"device": "cpu", "chunk_size": 2} | options))
        )

    return call


def test_every_image_has_what_the_model_gives(dump, tiny_config, weights, tiny_data, tmp_path):
    found = dump(config_name="tiny")
    config = tiny_config("out")
    model = instantiate(config.model).eval()
    model.load_state_dict(torch.load(weights)["model"])
    with torch.no_grad():
        for (sample,) in instantiate(config.dataloader.test):
            expected = model([sample])[0]["proposals"]
            boxes, logits = found.of(sample["image_id"])
            np.testing.assert_array_equal(boxes, expected.proposal_boxes.tensor.numpy())
            np.testing.assert_array_equal(logits, expected.objectness_logits.numpy())
            assert 0 < len(boxes) <= 20
    assert list(found.ids) == [0, 1, 2, 3, 4]
    assert list(found.file_names) == ["0.png", "1.png", "2.png", "3.png", "4.png"]
    metadata = found.metadata
    assert metadata["config_name"] == "tiny" and metadata["topk"] is None
    assert metadata["dataset"] == config.dataloader.test.dataset.names
    assert not (tmp_path / "p.npz.parts").exists()


def test_images_without_annotations_are_dumped(dump, tiny_data, tmp_path):
    images, _, annotations = tiny_data.rpartition(":")
    content = json.loads(Path(annotations).read_text())
    content["annotations"] = content["annotations"][:1]
    (tmp_path / "few.json").write_text(json.dumps(content))
    assert len(dump(dataset=f"{images}:{tmp_path / 'few.json'}")) == 5


def test_the_best_are_kept(dump):
    everything, best = dump(), dump(topk=3, overwrite=True)
    for image in everything.ids:
        np.testing.assert_array_equal(best.of(image)[0], everything.of(image)[0][:3])


class Killed(BaseException):
    pass


def test_a_dump_that_was_killed_goes_on(dump, tmp_path, monkeypatch):
    whole = dump() and (tmp_path / "p.npz").read_bytes()
    (tmp_path / "p.npz").unlink()
    write, run, calls = proposal_dump.write_proposals, proposal_dump.propose, []

    def killed(*args):
        if len(calls) == 1:
            (tmp_path / "p.npz.parts" / ".000001.npz.tmp").touch()  # half a part
            raise Killed
        calls.append(args)
        write(*args)

    monkeypatch.setattr(proposal_dump, "write_proposals", killed)
    with pytest.raises(Killed):
        dump()
    assert not (tmp_path / "p.npz").exists()
    assert (tmp_path / "p.npz.parts" / "000000.npz").exists()
    monkeypatch.setattr(proposal_dump, "write_proposals", write)

    seen = []

    def propose(model, config, records, topk):
        seen.extend(record["image_id"] for record in records)
        return run(model, config, records, topk)

    monkeypatch.setattr(proposal_dump, "propose", propose)
    dump()
    assert seen == [2, 3, 4]
    assert (tmp_path / "p.npz").read_bytes() == whole
    assert not (tmp_path / "p.npz.parts").exists()


@pytest.fixture
def unfinished(dump, monkeypatch):
    """A dump that stopped before its parts were joined."""
    with monkeypatch.context() as patch:
        patch.setattr(proposal_dump, "join_proposals", _kill)
        with pytest.raises(Killed):
            dump()


def _kill(*args, **kwargs):
    raise Killed


def test_other_weights_config_data_or_topk_do_not_go_on(
    dump, unfinished, tiny_config, tiny_data, tmp_path
):
    other = save(tiny_config("out"), tmp_path / "other.pth", seed=2)
    images, _, annotations = tiny_data.rpartition(":")
    content = json.loads(Path(annotations).read_text())
    content["images"] = content["images"][:4]
    content["annotations"] = content["annotations"][:12]
    (tmp_path / "four.json").write_text(json.dumps(content))
    parts = str(tmp_path / "p.npz.parts")
    for options, what in (
        ({"weights": other}, "weights"),
        ({"topk": 7}, "top-k"),
        ({"dataset": f"{images}:{tmp_path / 'four.json'}"}, "data"),
    ):
        with pytest.raises(ValueError, match=f"are of another {what}: .*remove") as caught:
            dump(**options)
        assert parts in str(caught.value)
    with pytest.raises(ValueError, match="another config"):
        dump("model.proposal_generator.nms_thresh=0.5")
    assert len(dump()) == 5


def test_a_damaged_part_is_named(dump, unfinished, tmp_path):
    part = tmp_path / "p.npz.parts" / "000001.npz"
    part.write_bytes(part.read_bytes()[:-30])
    with pytest.raises(ValueError, match=r"000001\.npz is no file of proposals, or the end"):
        dump()
    part.unlink()
    assert len(dump()) == 5


def test_an_output_that_is_there_is_not_replaced_unasked(dump, tmp_path):
    (tmp_path / "p.npz").write_text("precious")
    with pytest.raises(FileExistsError, match="--overwrite"):
        dump()
    assert (tmp_path / "p.npz").read_text() == "precious"
    assert len(dump(overwrite=True)) == 5


def test_bad_arguments_leave_nothing_behind(dump, tmp_path):
    for options, message in (
        ({"topk": 0}, "topk is 0"),
        ({"output": tmp_path / "p.pkl"}, r"ends in \.npz"),
        ({"as_pickle": True}, r"ends in \.pkl"),
        ({"dataset": "coco_2017_trian"}, "No dataset is registered as 'coco_2017_trian'"),
        ({"weights": str(tmp_path / "absent.pth")}, "no checkpoint"),
    ):
        with pytest.raises((ValueError, OSError), match=message):
            dump(**options)
    assert not list(tmp_path.glob("p.*"))
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="Cannot make the folder"):
        dump(output=tmp_path / "file" / "p.npz")


def test_detectron2_reads_the_pickle(dump, tiny_config, weights, tiny_data, tmp_path):
    found, name = dump(), records_to_propose_for(tiny_data)[0]
    path = dump_proposals(
        tiny_config("out"), weights, name, tmp_path / "p.pkl", device="cpu", as_pickle=True
    )
    records = get_detection_dataset_with_proposals(name, path)
    for record in records:
        np.testing.assert_array_equal(record["proposal_boxes"], found.of(record["image_id"])[0])


def test_chunks_depend_on_the_dataset_alone():
    assert default_chunk_size(118_287) == 200
    assert default_chunk_size(72) == 2
    assert default_chunk_size(1) == default_chunk_size(0) == 1


def test_progress_is_told_now_and_then(caplog):
    caplog.set_level("INFO")
    times = iter([0.0, 4.0, 11.0, 12.0, 20.0])
    progress = _Progress(4, lambda: next(times))
    for _ in range(4):
        progress.step()
    assert [record.getMessage() for record in caplog.records] == [
        "Proposals of 2/4 images of this process, 5.500 s/img, ETA=0:00:11",
        "Proposals of 4/4 images of this process, 5.000 s/img, ETA=0:00:00",
    ]


def heads(channels: int = 16):
    return L(StandardROIHeads)(
        num_classes=1,
        batch_size_per_image=8,
        positive_fraction=0.25,
        proposal_matcher=L(Matcher)(thresholds=[0.5], labels=[0, 1]),
        box_in_features=["res2"],
        box_pooler=L(ROIPooler)(
            output_size=3, scales=[1 / 8], sampling_ratio=0, pooler_type="ROIAlignV2"
        ),
        box_head=L(FastRCNNConvFCHead)(
            input_shape=L(ShapeSpec)(channels=channels, height=3, width=3),
            conv_dims=[],
            fc_dims=[8],
        ),
        box_predictor=L(FastRCNNOutputLayers)(
            input_shape=L(ShapeSpec)(channels=8),
            box2box_transform=L(Box2BoxTransform)(weights=[10.0, 10.0, 5.0, 5.0]),
            num_classes="${..num_classes}",
            test_score_thresh=0.0,
        ),
    )


def detector(config, *, generator: bool):
    """Makes the tiny config one of a detector, with or without proposals of its own."""
    network = config.model
    config.model = L(GeneralizedRCNN)(
        backbone=network.backbone,
        proposal_generator=network.proposal_generator if generator else None,
        roi_heads=heads(),
        pixel_mean=network.pixel_mean,
        pixel_std=network.pixel_std,
    )
    return config


def test_the_proposals_of_a_detector_are_those_of_its_generator(
    dump, tiny_config, weights, tiny_data, tmp_path
):
    config = detector(tiny_config("out"), generator=True)
    model = instantiate(config.model)
    model.load_state_dict(torch.load(weights)["model"], strict=False)
    torch.save({"model": model.state_dict()}, tmp_path / "detector.pth")
    path = dump_proposals(
        config, str(tmp_path / "detector.pth"), tiny_data, tmp_path / "d.npz", device="cpu"
    )
    found = dump()
    for image in found.ids:
        np.testing.assert_array_equal(read_proposals(path).of(image)[0], found.of(image)[0])


def test_a_detector_without_a_generator_is_refused(tiny_config, weights, tiny_data, tmp_path):
    config = detector(tiny_config("out"), generator=False)
    with pytest.raises(ValueError, match="makes no proposals of its own"):
        dump_proposals(config, weights, tiny_data, tmp_path / "p.npz", device="cpu")


def fast_rcnn(config, file):
    """Makes the tiny config one of Fast R-CNN on a file."""
    detector(config, generator=False)
    for loader in (config.dataloader.train, config.dataloader.test):
        loader.mapper.precomputed_proposal_topk = 10
        loader.dataset = L(get_detection_dataset_with_proposals)(
            names=loader.dataset.names,
            proposal_files=None,
            filter_empty=loader.dataset.filter_empty,
        )
    for part in ("train", "test"):
        use_proposals(config, part, file)
    config.dataloader.evaluator = L(COCOEvaluator)(dataset_name="${..test.dataset.names}")
    config.train.best_checkpoint = None
    config.train.max_iter = 2
    return config


def test_fast_rcnn_trains_and_is_evaluated_on_a_dump(dump, tiny_config, tmp_path):
    dump()
    config = fast_rcnn(tiny_config("run"), str(tmp_path / "p.npz"))
    results = train(config)
    assert np.isfinite(results["bbox"]["AP"])
    lines = (tmp_path / "run" / "metrics.json").read_text().splitlines()
    losses = [json.loads(line) for line in lines if "loss_box_reg" in line]
    assert len(losses) == 2 and all(np.isfinite(line["loss_cls"]) for line in losses)
    assert not any("loss_rpn_cls" in line for line in losses)

    again = fast_rcnn(tiny_config("again"), str(tmp_path / "p.npz"))
    again.train.init_checkpoint = str(tmp_path / "run" / "model_final.pth")
    assert evaluate_checkpoint(again)["bbox"]["AP"] == results["bbox"]["AP"]


def test_files_that_do_not_fit_stop_a_run_before_it_begins(dump, tiny_config, tmp_path):
    config = fast_rcnn(tiny_config("run"), str(tmp_path / "p.npz"))
    with pytest.raises(FileNotFoundError, match="cascade-rpn dump-proposals"):
        train(config)
    dump()
    more = register_coco_folder(write_dataset(tmp_path / "more", images=7))
    config.dataloader.test.dataset.names = more
    with pytest.raises(ValueError, match=f"has no entry for .* images of {more}"):
        train(config)
    with pytest.raises(ValueError, match=f"has no entry for .* images of {more}"):
        evaluate_checkpoint(config)
    config.dataloader.evaluator = None
    config.dataloader.train.dataset.proposal_files = None
    with pytest.raises(ValueError, match="No file of proposals is given for"):
        train(config)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([1, 2, 1], "c.png of flawed has the image_id 1, and a.png 1: give every image an id"),
        ([1, "b", 3], "b.png of flawed has the image_id 'b'"),
        ([1, None, 3], "b.png of flawed has the image_id None"),
    ],
)
def test_ids_that_cannot_be_told_apart_are_found_before_the_work(ids, message):
    records = [{"file_name": f"{n}.png", "image_id": i} for n, i in zip("abc", ids, strict=True)]
    DatasetCatalog.register("flawed", lambda: records)
    try:
        with pytest.raises(ValueError, match=message):
            records_to_propose_for("flawed")
    finally:
        DatasetCatalog.remove("flawed")


def test_ids_of_numpy_are_integers():
    DatasetCatalog.register("numpy", lambda: [{"file_name": "a", "image_id": np.int64(3)}])
    try:
        _, (record,) = records_to_propose_for("numpy")
        assert type(record["image_id"]) is int
    finally:
        DatasetCatalog.remove("numpy")
