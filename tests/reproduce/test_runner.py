"""Rows of a table are run once, go on where they were stopped, and share runs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from cascade_rpn_d2.engine import Trainer, run_once
from cascade_rpn_d2.engine.run_once import results_in
from cascade_rpn_d2.model_zoo import apply_overrides
from cascade_rpn_d2.reproduce import SCALES, Report, Row, Setting, Table, reproduce
from tests.engine.tiny_data import write_dataset

TABLE = Table(
    "Parts",
    ("box_proposals/AR@100",),
    "COCO val2017",
    (
        Row("Quoted", None, (10.0,)),
        Row("RPN", "cascade_rpn/rpn_r50_fpn_1x.py", (44.6,)),
        Row("Cascade", "cascade_rpn/ablations/cascade_r50_fpn_1x.py", (48.2,)),
        Row("The same again", "cascade_rpn/rpn_r50_fpn_1x.py", (44.6,)),
    ),
)

GUIDED = "guided_anchoring/ga_rpn_r50_fpn_1x.py"
THRESHOLD = "model.proposal_generator.location_threshold"
ALL_CELLS = Row("All cells", GUIDED, (59.2,), weights=GUIDED, overrides=(f"{THRESHOLD}=0.0",))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_dataset(tmp_path_factory.mktemp("tiny_data"))


@pytest.fixture(autouse=True)
def _no_logging_to_closed_files() -> Iterator[None]:
    yield
    for name in ("detectron2", "fvcore", "cascade_rpn_d2"):
        logging.getLogger(name).handlers.clear()


@pytest.fixture
def setting(data: str, tmp_path: Path) -> Callable[..., Setting]:
    def make(*overrides: str) -> Setting:
        options = ["train.max_iter=2", "train.checkpointer.period=1", *overrides]
        return Setting(SCALES["tiny"], tmp_path, data, data, options, "cpu")

    return make


def test_two_rows(
    setting: Callable[..., Setting], data: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    trained = []

    def train(config, resume):
        trained.append(Path(config.train.output_dir).name)
        return original(config, resume=resume)

    original = run_once.train
    monkeypatch.setattr(run_once, "train", train)
    report = reproduce("p/t", TABLE, setting(), ["RPN", "Cascade"])
    assert trained == ["rpn_r50_fpn_1x", "cascade_r50_fpn_1x"]
    values = [report.values(row)[0] for row in TABLE.rows]
    assert values[0] is None
    assert all(value is not None and 0 <= value <= 100 for value in values[1:])
    assert values[1] == values[3], "one experiment, one run"
    assert [row.name for row in report.measurements] == ["RPN", "Cascade", "The same again"]
    assert {m.test_data[0][1] for m in report.measurements.values()} == {data}
    assert {f.suffix for f in tmp_path.glob("p_t.*")} == {".md", ".json", ".png"}

    again = reproduce("p/t", TABLE, setting())
    assert len(trained) == 2, "all rows are done"
    assert [again.values(row) for row in TABLE.rows] == [report.values(row) for row in TABLE.rows]
    assert again.measurements == report.measurements

    with pytest.raises(ValueError, match="another config or other data: give another --output-dir"):
        reproduce("p/t", TABLE, setting("optimizer.lr=0.1"), ["RPN"])
    (tmp_path / "cascade_rpn/rpn_r50_fpn_1x").rename(tmp_path / "away")
    other = reproduce("p/t", TABLE, setting("optimizer.lr=0.1"), ["RPN"])
    assert other.values(TABLE.rows[2]) == (None,), "the run of another setting is not shown beside"
    assert other.values(TABLE.rows[1])[0] is not None


def test_a_stopped_row_goes_on(
    setting: Callable[..., Setting], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    def run(name: str) -> Report:
        return reproduce("p/t", TABLE, replace(setting(), output_dir=tmp_path / name), ["RPN"])

    def stop(trainer) -> None:
        if trainer.iter == 1:
            raise KeyboardInterrupt
        step(trainer)

    whole = run("whole")
    step = Trainer.run_step
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Trainer, "run_step", stop)
        run("stopped")
    resumed = run("stopped")
    row = TABLE.rows[1]
    assert resumed.measured[row] == whole.measured[row]
    log = (tmp_path / "stopped/cascade_rpn/rpn_r50_fpn_1x/log.txt").read_text()
    assert "first iteration 1" in log


def test_fast_rcnn_reads_the_proposals_of_its_generator(
    setting: Callable[..., Setting], tmp_path: Path
):
    fast = Row(
        "Fast",
        "cascade_rpn/cascade_rpn_fast_rcnn_r50_fpn_1x.py",
        (40.1,),
        proposals="cascade_rpn/cascade_rpn_r50_fpn_1x.py",
    )
    table = Table("Detection", ("bbox/AP",), "COCO test-dev", (fast,))
    report = reproduce("p/t", table, setting())
    assert report.values(fast)[0] is not None
    generator = tmp_path / "cascade_rpn/cascade_rpn_r50_fpn_1x"
    written = sorted(f.name for f in generator.glob("*.npz"))
    assert written == ["proposals_test.npz", "proposals_train.npz"]
    assert (tmp_path / "cascade_rpn/cascade_rpn_fast_rcnn_r50_fpn_1x/model_final.pth").is_file()


def test_a_row_that_differs_at_test_alone_has_the_weights_of_another(
    setting: Callable[..., Setting], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    trained = []

    def train(config, resume):
        trained.append(config.train.output_dir)
        return original(config, resume=resume)

    original = run_once.train
    monkeypatch.setattr(run_once, "train", train)
    metrics = ("box_proposals/AR@100",)
    rows = (ALL_CELLS, Row("Trained", GUIDED, (59.2,)))
    table = Table("Threshold", metrics, "COCO val2017", rows)
    report = reproduce("p/t", table, setting())
    assert [Path(folder).name for folder in trained] == ["ga_rpn_r50_fpn_1x"]
    assert all(report.values(row)[0] is not None for row in rows)
    folder = setting().row_dir(ALL_CELLS)
    assert not list(folder.glob("model_*.pth")) and (folder / "evaluation_final.json").is_file()
    for row in rows:
        assert report.measured[row] == results_in(setting().row_dir(row))
    # Other weights are another experiment, even if nothing else differs.
    others = replace(rows[0], weights="guided_anchoring/ablations/viou_3_shapes_r50_fpn_1x.py")
    assert setting().fingerprint(others) != setting().fingerprint(rows[0])


@pytest.mark.slow  # three trainings
def test_a_fine_tuning_starts_from_a_trained_detector(
    setting: Callable[..., Setting], tmp_path: Path
):
    faster = "guided_anchoring/faster_rcnn_r50_fpn_1x.py"
    row = Row(
        "On RPN's proposals",
        "guided_anchoring/finetune_faster_rcnn_with_rpn_proposals_r50_fpn.py",
        (37.3,),
        proposals="guided_anchoring/rpn_r50_fpn_1x.py",
        fine_tunes=faster,
    )
    report = reproduce("p/t", Table("Fine-tuning", ("bbox/AP",), "test-dev", (row,)), setting())
    assert report.values(row)[0] is not None
    trained = torch.load(tmp_path / Path(faster).with_suffix("") / "model_final.pth")["model"]
    folder = setting().run_dir(row.config or "")
    started = torch.load(folder / "detector.pth")["model"]
    assert not any(name.startswith("proposal_generator") for name in started)
    name = "roi_heads.box_predictor.bbox_pred.weight"
    torch.testing.assert_close(started[name], 2 * trained[name])  # half the deviations
    log = (folder / "log.txt").read_text()
    assert "detector.pth" in log


@pytest.mark.slow
def test_rows_with_and_without_augmentation_share_a_training(
    setting: Callable[..., Setting], tmp_path: Path
):
    trained = "cpm_rcnn/cpm_rcnn_x101_64x4d_dcn_ms_fpn_2x.py"
    augmented = "cpm_rcnn/cpm_rcnn_x101_64x4d_dcn_ms_tta_fpn_2x.py"
    rows = (
        Row("trained", trained, (47.4,)),
        Row("augmented", augmented, (49.9,), weights=trained, tta=True),
    )
    report = reproduce("p/t", Table("TTA", ("bbox/AP",), "test-dev", rows), setting())
    assert set(report.measured) == set(rows)
    folder = tmp_path / Path(augmented).with_suffix("")
    assert (folder / "evaluation_final_tta.json").is_file()
    assert not list(folder.glob("*.pth"))


def test_every_row_has_the_budget_seed_and_data_of_the_setting(setting: Callable[..., Setting]):
    for row in TABLE.choose():
        config = setting("train.seed=7").config(row.config or "")
        assert (config.train.max_iter, config.train.seed) == (2, 7)
        assert config.train.best_checkpoint is None and config.train.eval_period == 0
        assert config.dataloader.test.dataset.names == config.dataloader.train.dataset.names


def test_a_detector_is_of_its_generator(setting: Callable[..., Setting]):
    fast = "cascade_rpn/cascade_rpn_fast_rcnn_r50_fpn_1x.py"
    ours = Row("a", fast, (), proposals="cascade_rpn/cascade_rpn_r50_fpn_1x.py")
    others = Row("b", fast, (), proposals="cascade_rpn/iterative_rpn_r50_fpn_1x.py")
    assert setting().fingerprint(ours) == setting().fingerprint(ours)
    assert setting().fingerprint(ours) != setting().fingerprint(others)


def test_rows_of_one_config_are_told_apart_by_their_overrides(
    setting: Callable[..., Setting], tmp_path: Path
):
    rows = [
        Row("Trained", GUIDED, (59.2,)),
        *(replace(ALL_CELLS, overrides=(f"{THRESHOLD}={value}",)) for value in ("0.05", "0.1")),
    ]
    configs = [setting().row_config(row) for row in rows]
    assert [c.model.proposal_generator.location_threshold for c in configs] == [0.01, 0.05, 0.1]
    assert len({setting().fingerprint(row) for row in rows}) == 3
    assert [setting().row_dir(row).name for row in rows] == [
        "ga_rpn_r50_fpn_1x",
        f"ga_rpn_r50_fpn_1x+{THRESHOLD}-0.05",
        f"ga_rpn_r50_fpn_1x+{THRESHOLD}-0.1",
    ]
    folders = {config.train.output_dir for config in configs}
    assert folders == {str(setting().row_dir(row)) for row in rows}
    assert {Path(folder).parent for folder in folders} == {tmp_path / "guided_anchoring"}


def test_the_command_line_has_the_last_word(setting: Callable[..., Setting]):
    config = setting(f"{THRESHOLD}=0.2").row_config(ALL_CELLS)
    assert config.model.proposal_generator.location_threshold == 0.2


@pytest.mark.parametrize(
    ("override", "name"),
    [
        ("a.b='../../c/d.pth'", "a.b-_.._.._c_d.pth_"),
        ("a.b=[1, -2.0]", "a.b-_1__-2.0_"),
        ("a.b=1", "a.b-1"),
        ("a.b=-1", "a.b--1"),
    ],
)
def test_the_folder_of_overrides_can_be_named_in_an_override(
    setting: Callable[..., Setting], override: str, name: str
):
    row = replace(ALL_CELLS, overrides=(override,))
    folder = setting().row_dir(row)
    assert folder.name == f"ga_rpn_r50_fpn_1x+{name}"
    assert folder.parent == setting().row_dir(replace(row, overrides=())).parent
    config = OmegaConf.create({"weights": ""})
    assert apply_overrides(config, [f"weights={folder}"]).weights == str(folder)


def test_a_misprint_in_a_row_is_one_sentence(setting: Callable[..., Setting]):
    row = replace(ALL_CELLS, overrides=("model.proposal_generator.location_treshold=0.0",))
    with pytest.raises(ValueError, match="did you mean 'model.proposal_generator.location_thres"):
        setting().row_config(row)
