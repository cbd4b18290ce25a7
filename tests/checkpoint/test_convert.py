"""Checkpoints of mmdet and of the authors become Detectron2's: all of them or none."""

from __future__ import annotations

import re

import pytest
import torch
from detectron2.checkpoint import DetectionCheckpointer

from cascade_rpn_d2.checkpoint import (
    Checkpointer,
    LocationStatistics,
    check_destination,
    convert_checkpoint,
    convert_state,
    write_conversion,
)
from cascade_rpn_d2.checkpoint.worlds import AUTHORS, MMDET
from cascade_rpn_d2.model_zoo import get_config, instantiate_model
from tests.checkpoint.foreign_states import (
    COUNTER,
    as_mmdet,
    box_head,
    cascade_box_heads,
    cascade_rpn,
    guided_rpn,
    make_state,
    narrow,
    retinanet,
    stock_rpn,
    trunk,
)
from tests.checkpoint.models import model_of

AUTHORS_BOX = box_head("bbox_head", deltas=324)

# Kind -> (names and shapes of the file, model, whether of the authors' world; None if unknown).
KINDS = {
    "mmdet 2.x Cascade RPN": (cascade_rpn(), "cascade_rpn", False),
    "mmdet 3.x Cascade RPN": (cascade_rpn("bbox_head.stages"), "cascade_rpn", False),
    "mmdet Fast R-CNN": (box_head(), "cascade_rpn_fast_rcnn", False),
    "mmdet Cascade RPN Faster R-CNN": (
        cascade_rpn() + box_head(),
        "cascade_rpn_faster_rcnn",
        False,
    ),
    "mmdet Cascade R-CNN": (cascade_rpn() + cascade_box_heads(), "cascade_rpn_cascade_rcnn", False),
    "mmdet 2.x RPN": (stock_rpn(), "rpn", None),
    "mmdet 3.x RPN": (stock_rpn("bbox_head"), "rpn", False),
    "mmdet Faster R-CNN": (stock_rpn() + box_head(), "faster_rcnn", False),
    "stock Fast R-CNN": (box_head(), "fast_rcnn", False),
    "stock Cascade R-CNN": (stock_rpn() + cascade_box_heads(), "cascade_rcnn", False),
    "authors' Cascade RPN": (cascade_rpn("rpn_head"), "cascade_rpn", True),
    "authors' Fast R-CNN": (AUTHORS_BOX, "cascade_rpn_fast_rcnn", True),
    "authors' Faster R-CNN": (
        cascade_rpn("rpn_head") + AUTHORS_BOX,
        "cascade_rpn_faster_rcnn",
        True,
    ),
    "authors' Cascade R-CNN": (
        cascade_rpn("rpn_head") + cascade_box_heads("bbox_head"),
        "cascade_rpn_cascade_rcnn",
        True,
    ),
    "mmdet 1.x Faster R-CNN": (stock_rpn() + AUTHORS_BOX, "faster_rcnn", True),
    "mmdet 2.x GA-RPN": (guided_rpn(), "ga_rpn", None),
    "mmdet 3.x GA-RPN": (guided_rpn("bbox_head"), "ga_rpn", False),
    "mmdet GA-Faster R-CNN": (guided_rpn() + box_head(), "ga_faster_rcnn", False),
    "mmdet GA-Fast R-CNN": (box_head(), "ga_fast_rcnn", False),
    "mmdet 1.x GA-Faster R-CNN": (guided_rpn() + AUTHORS_BOX, "ga_faster_rcnn", True),
    "mmdet RetinaNet": (retinanet(guided=False), "retinanet", None),
    "mmdet GA-RetinaNet": (retinanet(guided=True), "ga_retinanet", None),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("wrapper", ["", "module."])
def test_every_tensor_of_every_kind_has_its_place(kind, wrapper):
    head, name, authors = KINDS[kind]
    shapes = dict(head if "RetinaNet" in kind else trunk() + head)
    target = {k: tuple(v.shape) for k, v in model_of(name).state_dict().items()}
    state = make_state([(key, narrow(shape)) for key, shape in shapes.items()])
    result = convert_state(
        {wrapper + key: value for key, value in state.items()},
        {key: narrow(shape) for key, shape in target.items()},
    )
    assert result.state.keys() == target.keys()
    assert result.mapped.keys() | result.dropped.keys() == state.keys()
    assert len(set(result.mapped.values())) == len(result.mapped) == len(result.state)
    assert all(key.endswith(COUNTER) for key in result.dropped)
    assert result.world is {None: None, True: AUTHORS, False: MMDET}[authors]
    for key, ours in result.mapped.items():
        converted = result.state[ours]
        assert converted.dtype == torch.float32 and (converted == state[key].flatten()[0]).all()
        rows, *others = shapes[key]
        assert (rows - 4 if rows == 324 else rows, *others) == target[ours]


def test_the_numbers_of_tensors_are_those_that_were_counted_in_real_models():
    counts = [len(trunk() + shapes) for shapes in (cascade_rpn(), box_head())]
    assert [*counts, len(trunk() + cascade_rpn() + box_head())] == [343, 342, 351]


@pytest.mark.parametrize(
    ("file", "shapes"),
    [
        ("crpn.pt", trunk() + cascade_rpn("bbox_head.stages")),
        ("crpn_faster.pt", trunk() + cascade_rpn() + box_head()),
        ("ga_rpn.pt", trunk() + guided_rpn("bbox_head")),
    ],
)
def test_names_and_shapes_are_those_of_the_recorded_models(shared_dir, file, shapes):
    recorded = torch.load(shared_dir / "reference" / file, weights_only=True)["shapes"]
    assert {key: tuple(shape) for key, shape in recorded} == dict(shapes)


def test_a_few_names():
    shapes = trunk() + stock_rpn() + box_head()
    mapped = convert_state(make_state(shapes), model_of("faster_rcnn")).mapped
    assert {
        "backbone.bn1.running_var": "backbone.bottom_up.stem.conv1.norm.running_var",
        "backbone.layer3.5.conv2.weight": "backbone.bottom_up.res4.5.conv2.weight",
        "backbone.layer4.0.downsample.1.bias": "backbone.bottom_up.res5.0.shortcut.norm.bias",
        "neck.lateral_convs.0.conv.bias": "backbone.fpn_lateral2.bias",
        "neck.fpn_convs.3.conv.weight": "backbone.fpn_output5.weight",
        "rpn_head.rpn_cls.bias": "proposal_generator.rpn_head.objectness_logits.bias",
        "roi_head.bbox_head.shared_fcs.1.weight": "roi_heads.box_head.fc2.weight",
    }.items() <= mapped.items()


def test_what_rpn_conv_is_depends_on_the_file():
    for shapes, name, ours in (
        (stock_rpn(), "rpn", "proposal_generator.rpn_head.conv.weight"),
        (guided_rpn(), "ga_rpn", "proposal_generator.head.conv.weight"),
    ):
        mapped = convert_state(make_state(trunk() + shapes), model_of(name)).mapped
        assert mapped["rpn_head.rpn_conv.weight"] == ours


def small_target(deltas):
    return {
        "roi_heads.box_predictor.cls_score.weight": (4, 5),
        "roi_heads.box_predictor.cls_score.bias": (4,),
        "roi_heads.box_predictor.bbox_pred.weight": (deltas, 5),
        "roi_heads.box_predictor.bbox_pred.bias": (deltas,),
    }


def convert_small(head, deltas):
    """Rows are numbered, and so are the elements of biases: of 3 classes and the background."""
    target = small_target(deltas=4 if deltas == 4 else 12)
    rows = {"fc_cls": torch.arange(4.0), "fc_reg": torch.arange(float(deltas))}
    state = {}
    for name, numbers in rows.items():
        state[f"{head}.{name}.weight"] = numbers[:, None].expand(-1, 5)
        state[f"{head}.{name}.bias"] = numbers
    converted = convert_state(state, target).state
    return {key.rpartition("box_predictor.")[2]: value for key, value in converted.items()}


@pytest.mark.parametrize("part", ["weight", "bias"])
def test_the_background_moves_to_the_end_of_weights_and_biases_alike(part):
    new = convert_small("bbox_head", deltas=16)
    scores, deltas = new[f"cls_score.{part}"], new[f"bbox_pred.{part}"]
    if part == "weight":
        scores, deltas = scores[:, 0], deltas[:, 0]
    assert scores.tolist() == [1, 2, 3, 0]
    # mmdet's script drops the last four biases instead of the first four.
    assert deltas.tolist() == list(range(4, 16))


def test_deltas_of_no_class_in_particular_stay():
    assert convert_small("bbox_head", deltas=4)["bbox_pred.bias"].tolist() == [0, 1, 2, 3]


def test_later_files_have_the_background_where_it_belongs():
    new = convert_small("roi_head.bbox_head", deltas=12)
    assert new["cls_score.bias"].tolist() == [0, 1, 2, 3]
    assert new["bbox_pred.bias"].tolist() == list(range(12))


def test_nothing_is_shared_with_the_file_nor_kept_from_behind_a_view():
    state = {"bbox_head.fc_reg.bias": torch.zeros(16)}
    new = convert_state(state, {"roi_heads.box_predictor.bbox_pred.bias": (12,)}).state
    assert next(iter(new.values())).untyped_storage().nbytes() == 12 * 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"rpn_head.stages.1.rpn_iou.weight": 1},
            "'rpn_head.stages.1.rpn_iou.weight', which is no",
        ),
        ({"backbone.layer5.0.conv1.weight": 1}, "'backbone.layer5.0.conv1.weight', which is no"),
        ({"bbox_head.retina_cls.num_batches_tracked": 1}, "retina_cls.*, which is no weight"),
        ({"ema_backbone_conv1_weight": 1}, "moving average"),
        ({"rpn_head.stages.2.rpn_cls.bias": 1}, "stages.2.predictor.* which the model does not"),
        ({"roi_head.bbox_head.fc_cls.bias": 81}, "'roi_heads.box_predictor.cls_score.bias' here"),
        ({"rpn_head.stages.1.rpn_reg.bias": 12}, r"shape \(12,\) for .*deltas.bias' of shape \(4,"),
        ({"rpn_head.stages.1.rpn_cls.bias": None}, "lacks 'proposal_.*objectness.bias', which the"),
        ({"backbone.bn1.running_var": None}, "lacks 'backbone.bottom_up.stem.conv1.norm.running"),
    ],
)
def test_the_first_tensor_that_does_not_fit_is_named(change, message):
    state = make_state(trunk() + cascade_rpn())
    for key, length in change.items():
        if length is None:
            del state[key]
        else:
            state[key] = torch.zeros(length)
    with pytest.raises(ValueError, match=message) as caught:
        convert_state(state, model_of("cascade_rpn"))
    assert "\n" not in str(caught.value)


def test_other_models_are_refused():
    baseline = make_state(trunk() + stock_rpn())
    with pytest.raises(ValueError, match="'rpn_head.rpn_conv.weight'.*which the model does not"):
        convert_state(baseline, model_of("cascade_rpn"))
    with pytest.raises(ValueError, match="lacks 'roi_heads.box_head.fc1.weight'"):
        convert_state(make_state(trunk() + cascade_rpn()), model_of("cascade_rpn_faster_rcnn"))
    guided = make_state(trunk() + guided_rpn())
    with pytest.raises(ValueError, match="'proposal_generator.head.conv.* which the model does"):
        convert_state(guided, model_of("rpn"))
    with pytest.raises(ValueError, match="'rpn_head.rpn_conv.weight'.*which the model does not"):
        convert_state(baseline, model_of("ga_rpn"))


def test_a_value_that_is_not_finite_is_refused():
    state = make_state(trunk() + cascade_rpn())
    state["neck.fpn_convs.2.conv.bias"] = torch.full((256,), float("nan"))
    with pytest.raises(ValueError, match="values in 'neck.fpn_convs.2.conv.bias' .* not finite"):
        convert_state(state, model_of("cascade_rpn"))


def test_what_mmdets_upgrade_script_leaves_is_refused():
    state = make_state(trunk() + cascade_rpn("rpn_head") + box_head())
    with pytest.raises(ValueError, match="upgrade script.*original file"):
        convert_state(state, model_of("cascade_rpn_faster_rcnn"))


@pytest.fixture
def tiny(repository):
    """A small detector of the zoo's parts, with batch norm."""
    config = get_config(str(repository / "tests/tiny_configs/tiny_faster_rcnn.py"))
    return lambda: instantiate_model(config)


@pytest.mark.parametrize("checkpointer", [Checkpointer, DetectionCheckpointer])
@pytest.mark.parametrize("bare", [False, True])
def test_what_is_written_is_loaded(tiny, tmp_path, checkpointer, bare):
    expected, model = tiny().state_dict(), tiny()
    theirs = as_mmdet(expected)
    content = theirs if bare else {"meta": {"epoch": 12}, "state_dict": theirs, "optimizer": {}}
    torch.save(content, tmp_path / "theirs.pth")
    result = convert_checkpoint(tmp_path / "theirs.pth", model)
    assert not result.dropped  # batch norms keep their counters
    write_conversion(result, tmp_path / "new" / "ours.pth")
    written = torch.load(tmp_path / "new/ours.pth", weights_only=True)
    assert written.keys() == {"model", "__author__", "matching_heuristics"}
    assert written["matching_heuristics"] is False
    assert not list((tmp_path / "new").glob(".*"))
    checkpointer(model).load(str(tmp_path / "new/ours.pth"))
    for key, value in model.state_dict().items():
        assert torch.equal(value, expected[key]), key


def test_what_the_file_says_of_pixels_is_compared(tiny, tmp_path):
    text = "img_norm_cfg = dict(mean=[103.53, 116.28, 123.675], std=[1.0, 1.0, 1.0])"
    content = {"meta": {"config": text}, "state_dict": as_mmdet(tiny().state_dict())}
    torch.save(content, tmp_path / "theirs.pth")
    result = convert_checkpoint(tmp_path / "theirs.pth", tiny())
    assert result.notes == ("It was trained with pixel_std 1 1 1; the config has 58 58 58.",)
    assert "Note: It was trained with pixel_std" in result.report()


@pytest.fixture
def guided(repository, tmp_path):
    """A small GA-RPN, and a file of mmdet with its weights."""
    config = get_config(str(repository / "tests/tiny_configs/tiny_guided_anchor_rpn.py"))
    model = instantiate_model(config)
    torch.save({"state_dict": as_mmdet(model.state_dict())}, tmp_path / "theirs.pth")
    return model, tmp_path / "theirs.pth"


INVERTED = LocationStatistics(inside=0.38, outside=0.84, active=1.0, source="on some images")
RIGHT = LocationStatistics(inside=0.45, outside=0.1, active=0.3, source="on some images")


@pytest.mark.parametrize(
    ("choice", "measured", "flipped", "note"),
    [
        ("auto", INVERTED, True, "turned round.*negated"),
        ("auto", RIGHT, False, "predicts where objects are .*on some images"),
        ("auto", None, False, "cannot be told"),
        ("keep", INVERTED, False, "kept as it is, as you asked"),
        ("flip", RIGHT, True, "turned round, as you asked"),
    ],
)
def test_a_location_branch_is_turned_round_and_nothing_else(
    guided, choice, measured, flipped, note
):
    model, file = guided
    result = convert_checkpoint(file, model, location_polarity=choice, measure=lambda _: measured)
    (reason,) = result.notes
    assert re.search(note, reason) and f"Note: {reason}" in result.report()
    for key, value in model.state_dict().items():
        negated = flipped and key.startswith("proposal_generator.head.location.")
        assert torch.equal(result.state[key], -value if negated else value), key


def test_what_is_measured_is_the_branch_of_the_file(guided, repository):
    _, file = guided
    config = get_config(str(repository / "tests/tiny_configs/tiny_guided_anchor_rpn.py"))
    fresh, seen = instantiate_model(config), []
    convert_checkpoint(file, fresh, measure=lambda model: seen.append(model.state_dict()))
    theirs = torch.load(file, weights_only=True)["state_dict"]
    assert all(torch.equal(theirs[key], value) for key, value in as_mmdet(seen[0]).items())


def test_only_a_file_with_a_location_branch_is_measured(tiny, tmp_path):
    torch.save(as_mmdet(tiny().state_dict()), tmp_path / "theirs.pth")

    def measure(model):
        raise AssertionError

    assert convert_checkpoint(tmp_path / "theirs.pth", tiny(), measure=measure).notes == ()
    with pytest.raises(ValueError, match="has no location branch to flip: leave out"):
        convert_checkpoint(tmp_path / "theirs.pth", tiny(), location_polarity="flip")


def test_a_file_that_does_not_fit_is_named(tiny, tmp_path):
    torch.save({"state_dict": {"head.weight": torch.zeros(1)}}, tmp_path / "theirs.pth")
    with pytest.raises(ValueError, match=r"theirs\.pth does not fit the config: it has 'head.wei"):
        convert_checkpoint(tmp_path / "theirs.pth", tiny())


def test_the_report_counts_and_says_what_a_config_must_have():
    file = make_state(trunk() + cascade_rpn("rpn_head"))
    text = convert_state(file, model_of("cascade_rpn", authors=True)).report()
    assert text.startswith("290 tensors mapped, 53 dropped (53 counters of batches")
    assert "anchor offset 0.5" in text and "102.9801" in text
    text = convert_state(make_state(trunk() + stock_rpn()), model_of("rpn")).report()
    assert "do not tell mmdet 1.x from later" in text


def test_a_name_that_cannot_be_loaded_is_refused(tmp_path):
    result = convert_state({"bbox_head.fc_cls.bias": torch.zeros(2)}, {
        "roi_heads.box_predictor.cls_score.bias": (2,)
    })  # fmt: skip
    with pytest.raises(ValueError, match=r"named \*\.pth"):
        write_conversion(result, tmp_path / "ours.pt")


def test_two_names_of_one_weight_are_refused():
    state = {
        "rpn_head.stages.0.rpn_reg.bias": torch.zeros(4),
        "bbox_head.stages.0.rpn_reg.bias": torch.zeros(4),
    }
    with pytest.raises(ValueError, match="it has 'rpn_head.* and 'bbox_head.*, both for"):
        convert_state(state, {"proposal_generator.stages.0.predictor.deltas.bias": (4,)})


def test_a_file_is_not_overwritten_by_its_own_conversion(tmp_path):
    with pytest.raises(ValueError, match="overwritten by its own conversion: name another file"):
        check_destination(tmp_path / "a.pth", tmp_path / "x" / ".." / "a.pth")
    with pytest.raises(ValueError, match=r"named \*.pth"):
        check_destination(tmp_path / "a.pkl")
    check_destination(tmp_path / "b.pth", tmp_path / "a.pth")
