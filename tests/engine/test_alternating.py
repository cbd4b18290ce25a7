"""The four steps: what each starts from, trains and leaves; gone on with, and refused at once."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from omegaconf import DictConfig
from torch import Tensor

from cascade_rpn_d2.data import read_proposals
from cascade_rpn_d2.engine import (
    Trainer,
    alternating,
    dump_proposals,
    evaluate_checkpoint,
    setup_config,
)
from cascade_rpn_d2.engine.alternating import plan, train_alternating
from cascade_rpn_d2.engine.run_once import claim
from cascade_rpn_d2.model_zoo import get_config, instantiate_model
from tests.engine.tiny_models import tiny_config_file

STEPS = ["1_rpn", "2_fast_rcnn", "3_rpn", "4_fast_rcnn"]
SMALL = [
    "train.max_iter=2",
    "train.seed=3",
    "train.checkpointer.period=1",
    "train.eval_period=0",
    "dataloader.train.total_batch_size=2",
    "model.proposal_generator.post_nms_topk=[50,20]",
    "optimizer.lr=0.005",
]


def maker(data: str, root: Path) -> Callable[..., DictConfig]:
    """Makes configs of alternating trainings into folders below ``root``."""

    def make(folder: str, *overrides: str, test_data: str | None = data) -> DictConfig:
        config = setup_config(
            tiny_config_file("tiny_faster_rcnn_run"),
            # Images as they are, so that boxes in pixels of the file lose nothing.
            [*SMALL, "dataloader.test.mapper.augmentations=[]", *overrides],
            train_data=data,
            test_data=test_data,
            output_dir=str(root / folder),
            device="cpu",
        )
        if test_data:
            config.dataloader.evaluator._target_ = "cascade_rpn_d2.evaluation.DetectionEvaluator"
        return config

    return make


@pytest.fixture
def training(tiny_data, tmp_path) -> Callable[..., DictConfig]:
    return maker(tiny_data, tmp_path)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, tiny_data) -> tuple[Path, dict]:
    """A training that nothing has stopped, and what it returned."""
    root = tmp_path_factory.mktemp("whole")
    return root / "run", train_alternating(maker(tiny_data, root)("run"))


class Killed(BaseException):
    pass


def kill(*args, **options):
    raise Killed


def weights(folder: Path) -> dict[str, Tensor]:
    return torch.load(folder / "model_final.pth", weights_only=True)["model"]


def part(state: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    return {key: value for key, value in state.items() if key.startswith(f"{name}.")}


def equal(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> bool:
    return ours.keys() == theirs.keys() and all(torch.equal(ours[k], theirs[k]) for k in ours)


@pytest.mark.slow
def test_the_steps_share_the_backbone_of_the_second(whole, training):
    folder, results = whole
    assert [name for name in STEPS if (folder / name / "model_final.pth").is_file()] == STEPS
    first, second, third, fourth = (weights(folder / name) for name in STEPS)
    merged = weights(folder)
    backbones = [part(state, "backbone") for state in (first, second, third, fourth, merged)]
    assert not equal(backbones[0], backbones[1])
    # Statistics of norms included.
    assert any(key.endswith("running_mean") for key in backbones[1])
    assert all(equal(backbones[1], other) for other in backbones[2:])
    for key in ("proposal_generator", "roi_heads"):
        source, before = (third, first) if key == "proposal_generator" else (fourth, second)
        assert equal(part(merged, key), part(source, key))
        assert not equal(part(source, key), part(before, key))
    assert set(merged) == set(instantiate_model(training("unused")).state_dict())


@pytest.mark.slow
def test_each_step_is_measured_and_the_last_as_the_whole_is(whole):
    _, results = whole
    tasks = [sorted(metrics) for metrics in results.values()]
    assert tasks == [["box_proposals"], ["bbox"], ["box_proposals"], ["bbox"], ["bbox"]]
    last, final = list(results.values())[-2:]
    assert math.isfinite(final["bbox"]["AP"]) and final["bbox"]["AP"] >= 0
    assert final["bbox"] == pytest.approx(last["bbox"], nan_ok=True)


@pytest.mark.slow
def test_the_detector_is_its_rpn_and_its_fast_rcnn_one_after_the_other(whole, training, tiny_data):
    folder, results = whole
    rpn, fast = (get_config(folder / name / "config.yaml") for name in STEPS[2:])
    name = fast.dataloader.test.dataset.names
    file = folder.parent / "again.npz"
    dump_proposals(rpn, str(folder / "3_rpn" / "model_final.pth"), name, file, device="cpu")
    ours, theirs = read_proposals(file), read_proposals(next((folder / "3_rpn").glob("*test_*")))
    assert (ours.boxes == theirs.boxes).all() and len(ours) == 5
    fast.dataloader.test.dataset.proposal_files = [str(file)]
    fast.train.output_dir = str(folder.parent / "again")
    fast.train.init_checkpoint = str(folder / "4_fast_rcnn" / "model_final.pth")
    separately = evaluate_checkpoint(fast)
    assert separately["bbox"] == pytest.approx(results["Faster R-CNN"]["bbox"], nan_ok=True)


@pytest.mark.slow
def test_the_folder_is_that_of_a_detector(whole):
    folder, results = whole
    config = get_config(folder / "config.yaml")  # names nothing that would have to be trusted
    config.train.output_dir = str(folder.parent / "evaluated")
    config.train.init_checkpoint = str(folder / "model_final.pth")
    assert evaluate_checkpoint(config)["bbox"] == pytest.approx(
        results["Faster R-CNN"]["bbox"], nan_ok=True
    )
    for name in STEPS:
        assert get_config(folder / name / "config.yaml").train.output_dir == str(folder / name)
    assert (folder / "log.txt").read_text().count("Step ") == 4


@pytest.mark.slow
def test_proposals_are_of_the_images_and_as_many_as_the_detector_takes(whole):
    folder, _ = whole
    for name in ("1_rpn", "3_rpn"):
        (train,) = (folder / name).glob("proposals_train_*.npz")
        (test,) = (folder / name).glob("proposals_test_*.npz")
        for file, most in ((train, 50), (test, 20)):
            table = read_proposals(file)
            assert len(table) == 5
            assert max(len(table.of(i)[0]) for i in range(5)) == most
            assert table.metadata["config_name"] == str(folder / name / "config.yaml")


@pytest.mark.slow
@pytest.mark.parametrize("number", range(4))
def test_a_stopped_sequence_goes_on(whole, training, tmp_path, monkeypatch, number):
    # In the middle of the step, and between it and what comes after it.
    step = Trainer.run_step
    done = []

    def run_step(self):
        if self.iter == 1 and len(done) == number:
            kill()
        step(self)
        if self.iter == 1:
            done.append(self)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Trainer, "run_step", run_step)
        train_alternating(training("run"))
    following = "_dump" if number % 2 == 0 else "train_once" if number == 1 else "_join"
    original = getattr(alternating, following)

    def once_more(*arguments, **options):
        finished = (tmp_path / "run" / STEPS[number] / "evaluation_final.json").is_file()
        if finished:
            kill()
        return original(*arguments, **options)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(alternating, following, once_more)
        train_alternating(training("run"))
    taken = []

    def count(self):
        taken.append(self.iter)
        step(self)

    monkeypatch.setattr(Trainer, "run_step", count)
    results = train_alternating(training("run"))
    assert len(taken) == 2 * (3 - number)  # those of the steps that follow, and no other
    folder, expected = whole
    assert equal(weights(tmp_path / "run"), weights(folder))
    assert list(results) == list(expected)
    for name in (".", *STEPS):
        ours, theirs = (x / name / "evaluation_final.json" for x in (tmp_path / "run", folder))
        assert ours.read_text() == theirs.read_text()
    assert "first iteration 1" in (tmp_path / "run" / STEPS[number] / "log.txt").read_text()


@pytest.mark.slow
def test_a_finished_sequence_is_read(whole, training, monkeypatch):
    folder, results = whole
    for name in ("dump_proposals", "join_rpn_and_fast_rcnn"):
        monkeypatch.setattr(alternating, name, kill)
    monkeypatch.setattr(Trainer, "run_step", kill)
    config = training("unused")
    config.train.output_dir = str(folder)
    again = train_alternating(config)
    assert [m.keys() for m in again.values()] == [m.keys() for m in results.values()]
    log = (folder / "log.txt").read_text()
    assert log.count("are in") >= 4 and "already" in log


@pytest.mark.slow
@pytest.mark.parametrize(
    ("overrides", "own", "folder"),
    [
        (["optimizer.lr=0.1"], {}, "1_rpn"),
        ([], {"fast_rcnn": ["train.max_iter=9"]}, "2_fast_rcnn"),
        (["model.roi_heads.batch_size_per_image=8"], {}, "2_fast_rcnn"),
    ],
)
def test_a_changed_config_is_refused(whole, training, monkeypatch, overrides, own, folder):
    monkeypatch.setattr(alternating, "train_once", kill)
    config = training("unused", *overrides)
    config.train.output_dir = str(whole[0])
    with pytest.raises(ValueError, match=f"{folder} holds a run with another config or other data"):
        train_alternating(config, own)


def finish(folder: Path, config: DictConfig) -> None:
    """Leave what a finished sequence does, as far as its folders tell by it."""
    with pytest.MonkeyPatch.context() as patch:

        def train(config, mark):
            step = Path(config.train.output_dir)
            claim(step, mark)
            (step / "last_checkpoint").touch()
            return {}

        def join(config, mark, *steps):
            claim(folder, mark)
            (folder / "evaluation_final.json").touch()
            return {}

        patch.setattr(alternating, "train_once", train)
        patch.setattr(alternating, "_dump", lambda step: (step.folder / "p.npz").touch())
        patch.setattr(alternating, "_join", join)
        train_alternating(config)


@pytest.mark.parametrize(
    ("own", "kept"),
    [({"fast_rcnn": ["optimizer.lr=1.0"]}, ["1_rpn"]), ({"rpn": ["optimizer.lr=1.0"]}, [])],
)
def test_a_changed_step_goes_with_those_after_it_and_the_message_says_so(
    training, tmp_path, monkeypatch, own, kept
):
    folder = tmp_path / "run"
    finish(folder, training("run"))
    with pytest.raises(ValueError, match="another config or other data") as error:
        train_alternating(training("run"), own)
    named = str(error.value).partition("remove ")[2].partition(" from ")[0]
    names = named.replace(" and ", ", ").split(", ")
    stale = [step for step in STEPS if step not in kept]
    assert names == [*stale, "experiment.sha256", "evaluation_final.json"]
    monkeypatch.setattr(alternating, "train_once", kill)
    for name in names:  # as it says, and not less
        with pytest.raises(ValueError, match="another config or other data"):
            train_alternating(training("run"), own)
        shutil.rmtree(folder / name) if name in STEPS else (folder / name).unlink()
    with pytest.raises(Killed):
        train_alternating(training("run"), own)


def test_a_folder_of_another_command_is_not_taken_apart(training, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "last_checkpoint").touch()
    with pytest.raises(ValueError, match="run holds a run .* another --output-dir, or remove it"):
        train_alternating(training("run"))


@pytest.mark.slow
def test_without_test_data_nothing_is_evaluated(training, tmp_path):
    config = training("run", "train.max_iter=1", "train.checkpointer.period=1", test_data=None)
    assert all(metrics == {} for metrics in train_alternating(config).values())
    assert not list((tmp_path / "run").rglob("proposals_test_*"))
    assert set(weights(tmp_path / "run")) > set(weights(tmp_path / "run" / "3_rpn"))
    train_alternating(config)  # which repeats nothing and fails nowhere


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vgg16", "zf"])
def test_the_original_detectors_are_trained_so(tiny_data, tmp_path, name):
    narrow = [
        "model.backbone.widths=[4,4,8,8,8]",
        "model.roi_heads.box_head.fc_dims=[16,16]",
        "model.proposal_generator.anchor_generator.sizes=[[8,16,32]]",
        "model.proposal_generator.min_original_size=6.0",
        *(f"dataloader.{part}.mapper.augmentations=[]" for part in ("train", "test")),
        *(f"dataloader.{part}.num_workers=0" for part in ("train", "test")),
        "train.init_checkpoint=''",
    ]
    config = setup_config(
        f"faster_rcnn/faster_rcnn_{name}.py",
        [*SMALL, *narrow],
        train_data=tiny_data,
        test_data=tiny_data,
        output_dir=str(tmp_path / "run"),
        device="cpu",
    )
    results = list(train_alternating(config).values())
    states = [weights(tmp_path / "run" / step) for step in STEPS]
    assert all(equal(part(states[1], "backbone"), part(x, "backbone")) for x in states[2:])
    assert results[-1]["bbox"] == pytest.approx(results[-2]["bbox"], nan_ok=True)
    for file in (tmp_path / "run").rglob("proposals_*.npz"):
        boxes = read_proposals(file).boxes
        assert (boxes[:, 2:] - boxes[:, :2] >= 6 - 1e-3).all() and len(boxes)
    # Each step is read as data, too, and names nothing that would have to be trusted.
    for step in STEPS:
        get_config(tmp_path / "run" / step / "config.yaml")


def test_what_a_step_starts_from_does_not_depend_on_where_it_lies(training, tmp_path):
    start = tmp_path / "start.pth"
    torch.save({"model": {"backbone.bottom_up.stem.conv1.weight": torch.ones(1)}}, start)
    moved = tmp_path / "moved.pth"
    moved.write_bytes(start.read_bytes())
    marks = [
        [step.mark for step in plan(training(folder, f"train.init_checkpoint='{file}'"), {})]
        for folder, file in (("a", start), ("b", moved))
    ]
    assert marks[0] == marks[1] and len(set(marks[0])) == 4
    own = {"fast_rcnn": ["optimizer.lr=1.0"]}
    other = [step.mark for step in plan(training("c", f"train.init_checkpoint='{start}'"), own)]
    assert other[0] == marks[0][0] and not set(other[1:]) & set(marks[0])


def test_what_the_sequence_decides_no_override_changes(training, tmp_path):
    own = {"rpn": ["train.init_checkpoint='x.pth'", "train.output_dir='y'"], "fast_rcnn": []}
    first, second, third, fourth = plan(training("run"), own)
    assert (first.config.train.init_checkpoint, third.config.train.init_checkpoint) == (
        "",
        str(second.weights),
    )
    assert third.folder == tmp_path / "run" / "3_rpn"
    frozen = [step.config.train.frozen for step in (first, second, third, fourth)]
    assert frozen == [None, None, ["backbone"], ["backbone"]]


def test_a_value_that_cannot_be_meant_is_refused_before_the_first_step(training, tmp_path):
    with pytest.raises(ValueError, match=r"Behind 'fast_rcnn\.': .* no key 'train.max_itr': did"):
        train_alternating(training("run"), {"fast_rcnn": ["train.max_itr=2"]})
    with pytest.raises(ValueError, match=r"train\.max_iter is 0"):
        train_alternating(training("run"), {"fast_rcnn": ["train.max_iter=0"]})
    assert not (tmp_path / "run").exists()
