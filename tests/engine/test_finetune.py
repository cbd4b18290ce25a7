"""The sequence of a fine-tuning: done once, gone on with, and refused before the work."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from omegaconf import DictConfig

from cascade_rpn_d2 import model_zoo
from cascade_rpn_d2.data import read_proposals
from cascade_rpn_d2.engine import Trainer, dump_proposals, finetune, setup_config
from cascade_rpn_d2.engine.finetune import TrainedDetector, finetune_with_proposals
from cascade_rpn_d2.engine.model_choices import ModelChoice
from cascade_rpn_d2.model_zoo import instantiate_model
from tests.engine.tiny_models import tiny_config_file, write_weights

FINETUNING = "guided_anchoring/finetune_faster_rcnn_with_proposals_r50_fpn.py"


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> TrainedDetector:
    """A tiny Faster R-CNN of one class, for images as they are."""
    config = model_zoo.get_config(tiny_config_file("tiny_faster_rcnn"))
    config.model.roi_heads.num_classes = 1
    config.dataloader.train.mapper.augmentations = []
    file = tmp_path_factory.mktemp("detector") / "model_final.pth"
    torch.manual_seed(1)
    torch.save({"model": instantiate_model(config).state_dict()}, file)
    return TrainedDetector(str(file), config)


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> ModelChoice:
    weights = write_weights("tiny_cascade_rpn", tmp_path_factory.mktemp("generator"))
    in_this_process = ("dataloader.test.num_workers=0",)
    return ModelChoice("generator", tiny_config_file("tiny_cascade_rpn"), weights, in_this_process)


@pytest.fixture
def fine_tuning(detector, tiny_data, tmp_path) -> Callable[..., DictConfig]:
    """Makes configs of fine-tunings of the detector into folders of the test."""

    def make(folder: str, *overrides: str, test_data: str | None = tiny_data, **options):
        small = ["dataloader.train.total_batch_size=2", "dataloader.train.num_workers=0"]
        small += ["train.max_iter=3", "train.checkpointer.period=1", "train.seed=3"]
        return setup_config(
            FINETUNING,
            [*small, "dataloader.test.num_workers=0", *overrides],
            train_data=tiny_data,
            test_data=test_data,
            output_dir=str(tmp_path / folder),
            device="cpu",
            adapt=detector.adapt,
            **options,
        )

    return make


class Killed(BaseException):
    pass


def kill(*args, **options):
    raise Killed


def test_the_sequence_and_once_more(fine_tuning, detector, generator, tmp_path, monkeypatch):
    results = finetune_with_proposals(fine_tuning("run"), detector, generator, evaluate_before=True)
    assert list(results) == ["before", "after"]
    assert all(math.isfinite(metrics["bbox"]["AP"]) for metrics in results.values())
    folder = tmp_path / "run"
    (file,) = folder.glob("proposals_*.npz")
    proposals = read_proposals(file)
    assert len(proposals) == 5 and 0 < len(proposals.boxes) <= 5 * 100
    assert proposals.metadata["config_name"] == generator.config_file
    assert proposals.metadata["topk"] == 300
    assert {f.name for f in folder.iterdir()} >= {
        "detector.pth", "evaluation_before.json", "evaluation_final.json", "model_final.pth",
    }  # fmt: skip
    state = torch.load(folder / "model_final.pth")["model"]
    assert not any(key.startswith("proposal_generator") for key in state)
    start, original = torch.load(folder / "detector.pth")["model"], torch.load(detector.weights)
    bias = "roi_heads.box_predictor.bbox_pred.bias"
    weight = bias.replace("bias", "weight")
    assert torch.equal(start[weight], 2 * original["model"][weight])
    assert not torch.equal(state[weight], start[weight])

    for step in ("prepare_finetuning", "dump_proposals", "evaluate"):
        monkeypatch.setattr(finetune, step, kill)
    again = finetune_with_proposals(fine_tuning("run"), detector, generator, evaluate_before=True)
    assert [m["bbox"]["AP"] for m in again.values()] == [m["bbox"]["AP"] for m in results.values()]


def test_a_stopped_sequence_goes_on(fine_tuning, detector, generator, tmp_path, monkeypatch):
    def ap(folder: str) -> float:
        results = finetune_with_proposals(fine_tuning(folder), detector, generator)
        return results["after"]["bbox"]["AP"]

    whole = ap("whole")
    step = Trainer.run_step
    for module, name, replacement in (
        (finetune, "dump_proposals", kill),
        (Trainer, "run_step", lambda self: kill() if self.iter == 2 else step(self)),
    ):
        with monkeypatch.context() as patch, pytest.raises(Killed):
            patch.setattr(module, name, replacement)
            ap("stopped")
    assert ap("stopped") == whole
    log = (tmp_path / "stopped" / "log.txt").read_text()
    assert "first iteration 2" in log and log.count("Proposals of 5 images are in") == 1
    ours, theirs = (
        torch.load(tmp_path / folder / "model_final.pth")["model"]
        for folder in ("whole", "stopped")
    )
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)


def test_files_that_are_there_are_read(fine_tuning, detector, generator, tiny_data, tmp_path):
    file = dump_proposals(
        generator.config(), generator.weights, tiny_data, tmp_path / "p.npz", device="cpu"
    )
    files = {"train_proposals": str(file), "test_proposals": str(file)}
    with pytest.raises(ValueError, match="No file of proposals is given for"):
        finetune_with_proposals(fine_tuning("run"), detector)
    results = finetune_with_proposals(fine_tuning("run", **files), detector)
    assert math.isfinite(results["after"]["bbox"]["AP"])
    assert not list((tmp_path / "run").glob("*.npz"))


def test_without_test_data_nothing_is_evaluated(fine_tuning, detector, generator, tmp_path):
    config = fine_tuning("run", "train.max_iter=1", test_data=None)
    assert finetune_with_proposals(config, detector, generator) == {"after": {}}
    assert len(list((tmp_path / "run").glob("proposals_*.npz"))) == 1


def test_a_folder_of_another_fine_tuning_is_left_alone(fine_tuning, detector, generator, tmp_path):
    one_step = fine_tuning("run", "train.max_iter=1", test_data=None)
    finetune_with_proposals(one_step, detector, generator)
    before = files_in(tmp_path / "run")
    others = tmp_path / "others"
    others.mkdir()
    state = torch.load(detector.weights)["model"]
    torch.save({"model": {k: v + 1 for k, v in state.items()}}, others / "detector.pth")
    torch.save({"model": torch.load(generator.weights)["model"], "a": 1}, others / "generator.pth")
    for overrides, start, proposals in (
        (["optimizer.lr=0.1"], detector, generator),
        ([], TrainedDetector(str(others / "detector.pth"), detector.config), generator),
        ([], TrainedDetector(detector.weights, with_weights(detector.config, 5.0)), generator),
        ([], detector, replace(generator, weights=str(others / "generator.pth"))),
    ):
        config = fine_tuning("run", "train.max_iter=1", *overrides, test_data=None)
        with pytest.raises(ValueError, match="holds a run with another config or other data"):
            finetune_with_proposals(config, start, proposals)
    assert files_in(tmp_path / "run") == before


def files_in(folder: Path) -> dict[str, int]:
    """Their times; but for the log, which is still being written to, and for who has held it."""
    others = ("log.txt", ".cascade_rpn_d2.lock")
    return {f.name: f.stat().st_mtime_ns for f in folder.iterdir() if f.name not in others}


def with_weights(config: DictConfig, weight: float) -> DictConfig:
    changed = copy.deepcopy(config)
    changed.model.roi_heads.box_predictor.box2box_transform.weights = [weight] * 4
    return changed


def test_a_mistake_can_be_mended_in_the_same_folder(fine_tuning, detector, generator, tmp_path):
    other = TrainedDetector(write_weights("tiny_faster_rcnn", tmp_path), detector.config)
    config = fine_tuning("run", "train.max_iter=1", test_data=None)
    with pytest.raises(ValueError, match=r"another model \(.*cls_score\.weight \(81, 32\) instead"):
        finetune_with_proposals(config, other, generator)
    assert not (tmp_path / "run" / "detector.pth").exists()
    assert finetune_with_proposals(config, detector, generator) == {"after": {}}


def test_what_does_not_fit_is_refused_before_the_work(fine_tuning, detector, generator, tmp_path):
    bare = TrainedDetector(detector.weights)
    faster = setup_config(
        tiny_training_config(tmp_path), device="cpu", output_dir=f"{tmp_path}/run"
    )
    for config, start, message in (
        (fine_tuning("run"), bare, "takes its proposal generator: .* --detector-config"),
        (fine_tuning("run", test_data=None), detector, "nothing to evaluate the detector on"),
        (faster, detector, "not of Fast R-CNN on precomputed proposals: give one such as guided"),
    ):
        with pytest.raises(ValueError, match=message):
            finetune_with_proposals(config, start, generator, evaluate_before=True)
    assert not (tmp_path / "run").exists()


def tiny_training_config(folder: Path) -> str:
    """A config of Faster R-CNN, which makes its proposals itself."""
    file = folder / "faster.py"
    file.write_text(
        "from cascade_rpn_d2 import model_zoo\n"
        "globals().update(model_zoo.get_config('cascade_rpn/faster_rcnn_r50_fpn_1x.py'))\n"
    )
    return str(file)


def test_a_detector_is_chosen_by_config_or_weights(detector, tmp_path):
    faster = "cascade_rpn/faster_rcnn_r50_fpn_1x.py"
    chosen = TrainedDetector.choose(faster, detector.weights)
    assert chosen.weights == detector.weights and chosen.config is not None
    assert chosen.regression_weights() == (10.0, 10.0, 5.0, 5.0)
    high_quality = TrainedDetector.choose(
        "cascade_rpn/cascade_rpn_fast_rcnn_r50_fpn_1x.py", detector.weights
    )
    assert high_quality.regression_weights() == (25.0, 25.0, 12.5, 12.5)
    bare = TrainedDetector.choose(None, detector.weights)
    assert bare.config is None and bare.regression_weights() == (10.0, 10.0, 5.0, 5.0)
    config = model_zoo.get_config(FINETUNING)
    bare.adapt(config)
    assert config == model_zoo.get_config(FINETUNING)


@pytest.mark.parametrize(
    ("config_file", "weights", "message"),
    [
        (None, None, "no detector to fine-tune: give --detector-weights, --detector-config"),
        (None, "absent.pth", "no file of weights at 'absent.pth'"),
        (FINETUNING, None, "no trained weights for"),
        ("cascade_rpn/cascade_rcnn_r50_fpn_1x.py", __file__, "no Fast or Faster R-CNN"),
    ],
)
def test_detectors_that_cannot_be_had(config_file, weights, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        TrainedDetector.choose(config_file, weights)
