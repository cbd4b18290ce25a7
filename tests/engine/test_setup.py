from __future__ import annotations

import builtins
import json
import re
from pathlib import Path

import pytest
from detectron2.config import instantiate
from detectron2.data import DatasetCatalog, MetadataCatalog
from omegaconf import OmegaConf

from cascade_rpn_d2 import model_zoo
from cascade_rpn_d2.config.files import save_config
from cascade_rpn_d2.data import num_classes
from cascade_rpn_d2.engine import evaluate_checkpoint, setup_config, train
from cascade_rpn_d2.engine.evaluators import try_evaluation
from cascade_rpn_d2.engine.predictor import Categories
from cascade_rpn_d2.engine.proposal_data import use_proposals
from cascade_rpn_d2.engine.setup import check_train, prepare_run, require_registered, use_data
from tests.engine.conftest import TINY_CONFIG
from tests.engine.tiny_data import write_dataset


def test_a_config_of_the_zoo_by_name_with_overrides(tiny_data):
    config = setup_config(
        "cascade_rpn/rpn_r50_fpn_1x",
        ["train.max_iter=7", "optimizer.lr=1", "train.seed=3", "train.clip_grad_norm=null"],
        output_dir="there",
        device="cpu",
    )
    train = config.train
    assert (train.max_iter, train.seed, train.clip_grad_norm) == (7, 3, None)
    assert (config.optimizer.lr, train.output_dir, train.device) == (1, "there", "cpu")


def test_an_unknown_config_is_refused_with_the_nearest_name():
    with pytest.raises(ValueError, match=r"cascade_rpn/rpn_r50_fpn_1x\.py"):
        setup_config("cascade_rpn/rpn_r50_fpn_1")


def test_an_unknown_key_is_refused_with_the_nearest_one():
    with pytest.raises(ValueError, match=r"'train\.max_itr'.*'train\.max_iter'"):
        setup_config(TINY_CONFIG, ["train.max_itr=3"])


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("train.max_iter=many", r"a number, such as 6"),
        ("optimizer.lr=fast", r"a number, such as 0\.02"),
        ("train.amp.enabled=1", "true or false"),
        ("train.accumulate=true", "a number, such as 1"),
    ],
)
def test_a_value_of_another_kind_is_refused(text, kind):
    with pytest.raises(ValueError, match=f"'{text}' does not fit: .* takes {kind}"):
        setup_config(TINY_CONFIG, [text])


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("output_dir", None),
        ("output_dir", ""),
        ("init_checkpoint", 1),
        ("best_checkpoint", "bbox/AP"),
        ("max_iter", 0),
        ("max_iter", 2.5),
        ("log_period", 0),
        ("eval_period", -1),
        ("accumulate", 0),
        ("checkpointer.period", 0),
        ("checkpointer.max_to_keep", 0),
        ("frozen", "backbone"),
        ("frozen", [1]),
        ("seed", -1),
        ("seed", "random"),
        ("clip_grad_norm", 0),
        ("clip_grad_norm", "None"),
        ("amp.dtype", "float8"),
        ("ema.decay", 1.0),
        ("best_checkpoint.mode", "most"),
        ("best_checkpoint.metric", None),
    ],
)
def test_values_that_would_fail_late_are_refused_at_once(key, value):
    train = model_zoo.get_config("common/train.py").train
    train.device = "cpu"
    check_train(train)
    OmegaConf.update(train, key, value)
    said = re.escape(f"train.{key} is {value!r}: it must be ")
    with pytest.raises(ValueError, match=said):
        check_train(train)


def test_a_misspelt_key_of_the_checkpoints_is_refused():
    train = model_zoo.get_config("common/train.py").train
    train.checkpointer.every = 5
    with pytest.raises(ValueError, match=r"train\.checkpointer is \['every'\]: it must be of the"):
        check_train(train)


def test_a_gpu_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(ValueError, match="sees no GPU: give --num-gpus 0"):
        check_train(model_zoo.get_config("common/train.py").train)


def test_a_file_that_is_no_training_config_is_refused(tmp_path):
    file = tmp_path / "half.py"
    file.write_text("model = dict()\ntrain = dict()\n")
    with pytest.raises(ValueError, match="does not define dataloader, optimizer, lr_multiplier"):
        setup_config(str(file))


def test_a_config_that_raises_leaves_imports_working(tmp_path):
    file = tmp_path / "broken.py"
    file.write_text("1 / 0\n")
    before = builtins.__import__
    with pytest.raises(ZeroDivisionError):
        setup_config(str(file))
    assert builtins.__import__ is before


@pytest.fixture
def detector():
    return setup_config("cascade_rpn/faster_rcnn_r50_fpn_1x", device="cpu")


def folder(path: Path, *classes: str) -> str:
    return write_dataset(path, images=1, classes=classes)


def test_data_on_the_command_line_set_names_and_number_of_classes(detector, tmp_path):
    train = folder(tmp_path / "train", "cat", "dog", "cow")
    test = folder(tmp_path / "test", "cat", "dog", "cow")
    use_data(detector, train, test)
    loader = detector.dataloader
    assert loader.train.dataset.names != loader.test.dataset.names
    assert loader.evaluator.dataset_name == loader.test.dataset.names
    assert num_classes(loader.train.dataset.names) == 3
    assert detector.model.roi_heads.num_classes == 3
    assert detector.model.roi_heads.box_predictor.num_classes == 3
    assert [(c.id, c.name) for c in detector.train.categories] == [
        (1, "cat"),
        (2, "dog"),
        (3, "cow"),
    ]


def test_registered_datasets_are_data_too(detector):
    config = detector
    use_data(config, "cascade_rpn_demo_train", "cascade_rpn_demo_val")
    assert config.dataloader.train.dataset.names == "cascade_rpn_demo_train"
    assert config.dataloader.test.dataset.names == "cascade_rpn_demo_val"
    classes = num_classes("cascade_rpn_demo_train")
    assert config.model.roi_heads.num_classes == classes == len(config.train.categories)
    for part in ({"train_data": "absent"}, {"test_data": "absent"}):
        with pytest.raises(ValueError, match="No dataset is registered as 'absent'"):
            setup_config(TINY_CONFIG, **part)


def test_registered_data_are_read_once_at_the_start(detector):
    reads = []

    def read(name):
        reads.append(name)
        return [{"file_name": "a.png", "image_id": 1, "annotations": [{"category_id": 0}]}]

    names = ("counted_train", "counted_test")
    for name in names:
        DatasetCatalog.register(name, lambda name=name: read(name))
        MetadataCatalog.get(name).thing_classes = ["cat"]
    try:
        use_data(detector, *names)
        for part in ("train", "test"):
            instantiate(detector.dataloader[part].dataset)
        assert reads == list(names)
    finally:
        for name in names:
            DatasetCatalog.remove(name)
            MetadataCatalog.remove(name)


@pytest.mark.parametrize("part", ["train", "test"])
def test_data_that_this_process_does_not_know_are_asked_for(tiny_config, tmp_path, part):
    config = tiny_config(tmp_path / "run", f"dataloader.{part}.dataset.names=mine_593e24d1")
    config.train.init_checkpoint = "weights.pth"
    sentence = f"No dataset is registered as 'mine_593e24d1', .*: give --{part}-data images_dir:"
    with pytest.raises(ValueError, match=sentence):
        train(config)
    if part == "test":
        with pytest.raises(ValueError, match=sentence):
            evaluate_checkpoint(config)
    assert not (tmp_path / "run").exists()


def test_weights_to_start_from_are_there(tmp_path):
    (tmp_path / "w.pth").touch()
    weights = str(tmp_path / "w.pth")
    assert setup_config(TINY_CONFIG, weights=weights).train.init_checkpoint == weights
    with pytest.raises(FileNotFoundError, match="no file of weights at 'absent.pth'"):
        setup_config(TINY_CONFIG, weights="absent.pth")


def test_training_data_alone_leave_nothing_to_evaluate_on(detector, tmp_path, caplog):
    use_data(detector, folder(tmp_path / "train", "cat"), None)
    assert detector.dataloader.evaluator is None
    # Who predicts with the run's config needs the test mapper, and its classes.
    assert detector.dataloader.test.mapper.image_format == "BGR"
    assert Categories.from_config(detector).names == ("cat",)
    assert detector.train.best_checkpoint is None
    assert "does not evaluate" in caplog.text


def test_test_data_alone_change_the_evaluation_only(tmp_path):
    proposals = setup_config("cascade_rpn/rpn_r50_fpn_1x", device="cpu")
    before = proposals.dataloader.train.dataset.names
    use_data(proposals, None, folder(tmp_path / "test", "cat", "dog"))
    assert proposals.dataloader.train.dataset.names == before
    assert num_classes(proposals.dataloader.evaluator.dataset_name) == 2


def test_classes_that_a_detector_does_not_have_are_refused(detector, tmp_path):
    with pytest.raises(ValueError, match="of --test-data and of the model differ .'person' is in"):
        use_data(detector, None, folder(tmp_path / "test", "cat", "dog"))
    train, other = folder(tmp_path / "train", "cat", "dog"), folder(tmp_path / "o", "cat", "cow")
    with pytest.raises(ValueError, match="'cow' is in one only"):
        use_data(detector, train, other)
    use_data(detector, train, None)
    with pytest.raises(ValueError, match="'cow' is in one only"):  # the run knows its names
        use_data(detector, None, other)


def test_test_data_are_matched_to_the_classes_by_name(detector, tmp_path):
    train = folder(tmp_path / "train", "cat", "dog")
    use_data(detector, train, folder(tmp_path / "swapped", "dog", "cat"))
    name = detector.dataloader.test.dataset.names
    assert MetadataCatalog.get(name).thing_classes == ["cat", "dog"]
    assert {a["category_id"] for a in DatasetCatalog.get(name)[0]["annotations"]} == {1}
    assert detector.dataloader.evaluator.dataset_name == name


@pytest.mark.parametrize("part", ["", "box_predictor."])
def test_a_number_of_classes_beside_the_data_is_refused_at_the_start(tmp_path, part):
    """Of the data that are used, given on the command line or recorded."""
    data = folder(tmp_path / "data", "cat", "dog")
    key = f"model.roi_heads.{part}num_classes"
    options = {"device": "cpu", "output_dir": str(tmp_path / "run")}
    given = {"train_data": data, "test_data": data}
    run = setup_config("cascade_rpn/faster_rcnn_r50_fpn_1x", [f"{key}=2"], **given, **options)
    prepare_run(run)
    for config in (
        setup_config("cascade_rpn/faster_rcnn_r50_fpn_1x", [f"{key}=5"], **given, **options),
        setup_config(str(tmp_path / "run/config.yaml"), [f"{key}=5"]),
    ):
        with pytest.raises(ValueError, match=f"^{key} is 5 but the train data have 2 .*: leave"):
            train(config)
        with pytest.raises(ValueError, match=f"^{key} is 5 but the test data have 2 .*: give the"):
            evaluate_checkpoint(config)
    for used in ("train", "test"):
        require_registered(run, used)


def test_an_evaluation_counts_no_classes_of_training_data(tmp_path):
    """A config in Python that was trained on other data than it says."""
    data = folder(tmp_path / "data", "cat", "dog")
    config = setup_config(
        "cascade_rpn/faster_rcnn_r50_fpn_1x",
        adapt=lambda config: OmegaConf.update(config, "model.roi_heads.num_classes", 2),
        test_data=data,
        device="cpu",
    )
    require_registered(config, "test")
    with pytest.raises(ValueError, match="num_classes is 2 but the train data have 80 classes"):
        require_registered(config, "train")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("dataloader", []),
        ("dataloader.test", "x"),
        ("dataloader.train.dataset", 5),
        ("optimizer.params", 1),
        ("train", [1]),
        ("train.amp", True),
    ],
)
def test_a_part_of_another_form_is_refused(key, value, tmp_path):
    config = model_zoo.get_config(TINY_CONFIG)
    OmegaConf.update(config, key, value, merge=False)
    save_config(config, tmp_path / "config.yaml")
    with pytest.raises(ValueError, match=rf"has .* as its {key}: it must have keys there"):
        setup_config(str(tmp_path / "config.yaml"))


@pytest.mark.parametrize("part", ["train", "test"])
def test_a_mapper_that_cannot_be_built_is_refused_at_the_start(tiny_config, part):
    """Detectron2 asserts it, and an evaluation would do so after the training."""
    steps = "[{_target_: detectron2.data.transforms.ResizeShortestEdge, short_edge_length: [128]}]"
    config = tiny_config("run", f"dataloader.{part}.mapper.augmentations={steps}")
    key = f"dataloader.{part}.mapper"
    with pytest.raises(ValueError, match=f"The {key} of the config cannot be built .*Assertion"):
        require_registered(config, part)


def test_an_output_folder_that_cannot_be_made_is_said(tiny_config, tmp_path):
    (tmp_path / "file").write_text("")
    config = tiny_config("file/out")
    with pytest.raises(OSError, match="Cannot make the output folder .* give another --output-dir"):
        prepare_run(config)


def test_a_second_run_in_a_process_logs_each_line_once(tiny_config, capsys):
    for name in ("one", "two"):
        prepare_run(tiny_config(name))
    lines = capsys.readouterr().out.splitlines()
    assert sum("output in" in line for line in lines) == 2


def test_training_data_without_a_box_are_refused(detector, tmp_path):
    spec = folder(tmp_path / "train", "cat")
    file = Path(spec.rpartition(":")[2])
    content = json.loads(file.read_text())
    for useless in ([], [{**a, "iscrowd": 1} for a in content["annotations"]]):
        file.write_text(json.dumps({**content, "annotations": useless}))
        with pytest.raises(ValueError, match="None of the 1 images of --train-data has a box"):
            use_data(detector, spec, None)


def test_a_config_of_detectron2_gets_the_training_keys_it_lacks():
    config = setup_config("COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_1x.py", device="cpu")
    assert (config.train.accumulate, config.train.best_checkpoint) == (1, None)
    assert config.train.max_iter == 90_000


def fast_rcnn(*arguments, **options):
    name = "small/cascade_rpn_fast_rcnn_r18_fpn_1k"
    return setup_config(name, *arguments, device="cpu", **options)


def test_files_of_proposals_take_the_place_of_the_configs():
    config = fast_rcnn(train_proposals="a.npz", test_proposals="b.npz")
    assert list(config.dataloader.train.dataset.proposal_files) == ["a.npz"]
    assert list(config.dataloader.test.dataset.proposal_files) == ["b.npz"]
    override = ["dataloader.train.dataset.proposal_files=[c.npz]"]
    config = fast_rcnn(override, train_proposals="a.npz")
    assert list(config.dataloader.train.dataset.proposal_files) == ["c.npz"]


@pytest.mark.parametrize("part", ["train", "test"])
def test_a_config_that_takes_no_proposals_refuses_them(part):
    message = f"--{part}-proposals is given, but .* takes no proposal_files"
    with pytest.raises(ValueError, match=message):
        setup_config(TINY_CONFIG, **{f"{part}_proposals": "a.npz"})


def test_other_data_do_not_keep_the_proposals_of_the_configs(tmp_path):
    config = fast_rcnn()
    datasets = config.dataloader.train.dataset, config.dataloader.test.dataset
    for dataset in datasets:
        dataset.proposal_files = ["of_coco.npz"]
    use_proposals(config, "train", None, other_data=True)
    use_proposals(config, "test", None)
    assert [d.proposal_files for d in datasets] == [None, ["of_coco.npz"]]
    use_data(config, folder(tmp_path / "train", "cat"), None)
    with pytest.raises(ValueError, match=r"No file of proposals .*give it as --train-proposals"):
        train(config)


def test_test_images_without_annotations_leave_no_best_checkpoint(tmp_path, caplog):
    spec = folder(tmp_path / "test", "cat")
    file = Path(spec.rpartition(":")[2])
    content = json.loads(file.read_text())
    del content["annotations"]
    file.write_text(json.dumps(content))
    config = setup_config(TINY_CONFIG, test_data=spec)
    assert config.train.best_checkpoint is None
    assert "--test-data has no annotations: there is nothing to measure" in caplog.text
    assert try_evaluation(config) is None
