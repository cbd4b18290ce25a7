"""GuidedAnchorRPN as a whole: losses, gradients, anchors, sparse inference, what it refuses."""

from __future__ import annotations

import copy

import pytest
import torch
from detectron2.config import get_cfg
from detectron2.layers import ShapeSpec
from detectron2.modeling.proposal_generator import build_proposal_generator
from detectron2.structures import Boxes, ImageList, Instances
from detectron2.utils.events import EventStorage

from cascade_rpn_d2.config import add_cascade_rpn_config
from cascade_rpn_d2.modeling import LearnedFeatureAdaption, PlainFeatureAdaption
from cascade_rpn_d2.modeling.ground_truth import valid_cells

CELLS = 24 * 32 + 12 * 16 + 6 * 8  # of the batch, 96 x 128
OWN_CELLS = 16 * 24 + 8 * 12 + 4 * 6  # of its smaller image, 64 x 96 with its own padding
# The rows of Tables 4 and 6, and section 4.3's.
VARIANTS = {
    "location": {"shape": "none", "adaption": None, "num_anchors": 3},
    "shape": {"location": False, "adaption": None},
    "location_shape": {"adaption": None},
    "whole": {},
    "centers": {"shape": "box"},
    "learned": {"adaption": LearnedFeatureAdaption(8, 8, offset_groups=4)},
    "plain": {"adaption": PlainFeatureAdaption(8, 8)},
}
PARTS = ("conv", "location", "shape", "adaption.offset", "adaption.conv", "predictor")


@pytest.fixture(params=VARIANTS)
def variant(request) -> dict:
    return copy.deepcopy(VARIANTS[request.param])


def awake(generator):
    """Weights as large as for few channels: 0.01 is for 256 of them, and 8 would die of it."""
    for module in generator.head.modules():
        if getattr(module, "weight", None) is not None and module.weight.shape[-1] == 3:
            torch.nn.init.kaiming_normal_(module.weight)
    torch.nn.init.normal_(generator.head.predictor.objectness.weight)
    return generator


def with_some_active_cells(generator):
    """A generator that has anchors in about a third of the cells, and different shapes."""
    awake(generator)
    torch.nn.init.normal_(generator.head.location.weight, std=3.0)
    torch.nn.init.constant_(generator.head.location.bias, -1.0)
    generator.location_threshold = 0.5
    if generator.head.shape is not None:
        torch.nn.init.normal_(generator.head.shape.weight, std=2.0)
    return generator.eval()


class TestTraining:
    def test_losses_of_every_variant(self, make_guided, variant, batch):
        generator = make_guided(**variant)
        proposals, losses = generator(*batch)
        expected = {"loss_rpn_cls", "loss_rpn_loc"}
        if variant.get("location", True):
            expected.add("loss_rpn_anchor_loc")
        if variant.get("shape") != "none":
            expected.add("loss_rpn_anchor_shape")
        assert losses.keys() == expected
        assert all(loss.isfinite() and loss.dim() == 0 for loss in losses.values())
        assert len(proposals) == 2 and all(0 < len(p) <= 60 for p in proposals)

    def test_every_parameter_receives_a_gradient_with_and_without_objects(
        self, make_guided, variant, batch
    ):
        images, features, truth = batch
        for objects in (truth, [truth[1], copy.deepcopy(truth[1])]):
            generator = make_guided(**copy.deepcopy(variant))
            sum(generator(images, features, objects)[1].values()).backward()
            assert all(p.grad is not None for p in generator.parameters())

    @pytest.mark.parametrize(
        ("loss", "reached"),
        [
            ("loss_rpn_cls", {"conv", "adaption.offset", "adaption.conv", "predictor"}),
            ("loss_rpn_loc", {"conv", "adaption.offset", "adaption.conv", "predictor"}),
            ("loss_rpn_anchor_shape", {"conv", "shape"}),
            ("loss_rpn_anchor_loc", {"conv", "location"}),
        ],
    )
    def test_which_loss_reaches_which_layer(self, make_guided, batch, loss, reached):
        generator = make_guided()
        generator(*batch)[1][loss].backward()
        found = {
            part
            for part in PARTS
            if any(
                p.grad is not None and p.grad.any()
                for p in generator.head.get_submodule(part).parameters()
            )
        }
        assert found == reached

    def test_a_fresh_location_branch_is_right_about_background(self, make_guided, batch):
        """Its loss is 1.5e-5 there; labels the wrong way round would make it 22.6."""
        images, features, truth = batch
        generator = make_guided()
        torch.nn.init.zeros_(generator.head.location.weight)
        losses = generator(images, features, [truth[1], copy.deepcopy(truth[1])])[1]
        assert losses["loss_rpn_anchor_loc"].item() == pytest.approx(1.5e-5, rel=0.02)

    def test_without_objects_no_shape_is_learned(self, make_guided, batch):
        images, features, truth = batch
        losses = make_guided()(images, features, [truth[1], copy.deepcopy(truth[1])])[1]
        assert losses["loss_rpn_anchor_shape"] == 0 and losses["loss_rpn_loc"] == 0

    def test_anchors_grow_to_the_objects_and_stay_on_their_cells(self, make_guided):
        """Shapes alone are trained, by one object on a map that shows where it is."""
        torch.manual_seed(0)
        generator = awake(make_guided())
        images = ImageList(torch.zeros(1, 3, 128, 128), [(128, 128)])
        truth = Instances((128, 128))
        truth.gt_boxes = Boxes(torch.tensor([[32.0, 48, 96, 80]]))  # 64 x 32
        features = {
            f"p{level}": torch.randn(1, 8, 128 // stride, 128 // stride)
            for level, stride in ((2, 4), (3, 8), (4, 16))
        }
        before = generator.trace(images, features).anchors[0]
        optimizer = torch.optim.Adam(generator.parameters(), 0.01)
        for _ in range(150):
            loss = generator(images, features, [truth])[1]["loss_rpn_anchor_shape"]
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        after = generator.trace(images, features).anchors[0]
        torch.testing.assert_close(
            after[:, :2] + after[:, 2:], before[:, :2] + before[:, 2:], atol=1e-3, rtol=0
        )
        middle = 16 * 32 + 16  # the cell at (64, 64), the object's centre, on the level of stride 4
        assert (before[middle, 2:] - before[middle, :2]).tolist() == pytest.approx([32, 32], abs=8)
        width, height = (after[middle, 2:] - after[middle, :2]).tolist()
        assert width == pytest.approx(64, abs=8) and height == pytest.approx(32, abs=6)

    def test_the_location_branch_fires_on_objects(self, make_guided):
        """Trained on drawings, it finds the centres of others; on background it is silent."""
        torch.manual_seed(0)
        generator = awake(make_guided(propose_in_training=False))
        optimizer = torch.optim.Adam(generator.parameters(), 0.01)

        def draw() -> tuple[dict[str, torch.Tensor], Instances, torch.Tensor]:
            """Maps in which a channel rises where an object of 32 px is."""
            x, y = (torch.randint(2, 13, (2,)) * 8).tolist()
            truth = Instances((128, 128))
            truth.gt_boxes = Boxes(torch.tensor([[x - 16.0, y - 16, x + 16, y + 16]]))
            features = {}
            for level, stride in ((2, 4), (3, 8), (4, 16)):
                size = 128 // stride
                maps = torch.randn(1, 8, size, size) * 0.3
                row, column = (torch.arange(size) * stride for _ in range(2))
                inside = ((row - y).abs() <= 16)[:, None] & ((column - x).abs() <= 16)[None]
                maps[0, 0] += 2.0 * inside
                features[f"p{level}"] = maps
            centre = torch.zeros(32, 32, dtype=torch.bool)
            centre[y // 4 - 1 : y // 4 + 2, x // 4 - 1 : x // 4 + 2] = True
            return features, truth, centre

        images = ImageList(torch.zeros(1, 3, 128, 128), [(128, 128)])
        for _ in range(150):
            features, truth, _ = draw()
            loss = generator(images, features, [truth])[1]["loss_rpn_anchor_loc"]
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        inside, outside, active = [], [], []
        for _ in range(10):
            features, _, centre = draw()
            traced = generator.trace(images, features)
            probability = traced.probability[0, : 32 * 32].view(32, 32)
            inside.append(probability[centre].mean())
            outside.append(probability[~centre].mean())
            active.append((traced.probability >= 0.1).float().mean())
        assert torch.stack(inside).mean() > 0.3
        assert torch.stack(outside).mean() < 0.05
        assert torch.stack(active).mean() < 0.1, "labels the wrong way round keep every cell"

    def test_statistics_reach_the_event_storage(self, make_guided, batch):
        generator = make_guided(log_period=1)
        with EventStorage() as storage:
            generator(*batch)
            latest = storage.latest()
        assert 0 < latest["rpn/anchor_iou"][0] <= 1 and 0 < latest["rpn/iou"][0] <= 1
        assert latest["rpn/anchor_num_pos"][0] > 2 and latest["rpn/num_pos"][0] >= 1
        # Probabilities start at 0.01, on both sides of the threshold.
        assert 0 < latest["rpn/active_share"][0] < 1

    def test_bfloat16_autocast_keeps_boxes_and_losses_in_float32(self, make_guided, batch):
        generator = make_guided()
        with torch.autocast("cpu", torch.bfloat16):
            proposals, losses = generator(*batch)
            tested = with_some_active_cells(generator)(*batch[:2])[0]
        assert all(loss.dtype == torch.float32 and loss.isfinite() for loss in losses.values())
        for found in (*proposals, *tested):
            assert found.proposal_boxes.tensor.dtype == torch.float32

    def test_non_finite_predictions_stop_the_training(self, make_guided, batch):
        generator = make_guided()
        generator.head.predictor.deltas.bias.data.fill_(float("nan"))
        with pytest.raises(FloatingPointError, match="diverged"):
            generator(*batch)

    def test_objects_are_needed(self, make_guided, batch):
        with pytest.raises(ValueError, match="needs gt_instances while training"):
            make_guided()(*batch[:2])


class TestInference:
    @pytest.mark.parametrize("name", [n for n in VARIANTS if n != "shape"])
    def test_sparse_equals_dense(self, make_guided, batch, name):
        torch.manual_seed(0)
        generator = with_some_active_cells(make_guided(**copy.deepcopy(VARIANTS[name])))
        found = []
        for sparse in (True, False):
            generator.sparse = sparse
            found.append(generator(*batch[:2])[0])
        assert 0 < sum(generator.activity.last) < CELLS + OWN_CELLS
        for ours, dense in zip(*found, strict=True):
            assert len(ours) == len(dense) > 2
            torch.testing.assert_close(
                ours.proposal_boxes.tensor, dense.proposal_boxes.tensor, atol=1e-3, rtol=0
            )
            torch.testing.assert_close(ours.objectness_logits, dense.objectness_logits)

    def test_a_batch_gives_what_its_images_give_alone(self, make_guided):
        torch.manual_seed(0)
        generator = with_some_active_cells(make_guided())
        features = {
            f"p{i}": torch.randn(3, 8, 64 // s, 96 // s) for i, s in ((2, 4), (3, 8), (4, 16))
        }
        sizes = [(64, 96), (64, 96), (60, 90)]
        together = generator(ImageList(torch.zeros(3, 3, 64, 96), sizes), features)[0]
        counts = list(generator.activity.last)
        for index, size in enumerate(sizes):
            alone = {name: x[index : index + 1] for name, x in features.items()}
            (found,) = generator(ImageList(torch.zeros(1, 3, 64, 96), [size]), alone)[0]
            assert generator.activity.last == [counts[index]]
            torch.testing.assert_close(
                found.proposal_boxes.tensor,
                together[index].proposal_boxes.tensor,
                atol=1e-3,
                rtol=0,
            )

    @pytest.mark.parametrize("name", ["location", "shape", "whole"])
    def test_cells_of_another_images_padding_propose_nothing(self, make_guided, batch, name):
        torch.manual_seed(0)
        generator = awake(make_guided(**copy.deepcopy(VARIANTS[name]), log_period=1))
        generator.location_threshold = 0.0
        images, features, truth = batch
        guide, _, grids = generator._guide(features)
        valid = valid_cells(grids, torch.tensor(images.image_sizes), generator.num_anchors, 32)
        logits = generator.head.predict(guide).logits
        own = [x[cells].detach() for x, cells in zip(logits, valid, strict=True)]
        assert len(own[0]) == valid.shape[1] > 1.5 * len(own[1])

        def outside(train: bool) -> bool:
            with EventStorage() as storage:
                found = generator.train(train)(images, features, truth)[0]
                shares.append(storage.latest().get("rpn/active_share", (1.0,))[0])
            nearest = [
                (x.objectness_logits[:, None] - y).abs().amin(dim=1).amax()
                for x, y in zip(found, own, strict=True)
            ]
            assert nearest[0] < 1e-5
            return nearest[1] > 1e-5

        shares: list[float] = []
        for train in (True, False):
            assert not outside(train)
            generator.sparse = False
            assert not outside(train)
            generator.sparse = True
        cells = [len(x) // generator.num_anchors for x in own]
        assert generator.activity.last == cells and generator.activity.cells == 2 * sum(cells)
        seen = generator.trace(images, features).active
        assert torch.equal(seen.repeat_interleave(generator.num_anchors, dim=1), valid)
        generator.propose_in_padding = True  # as the reference implementation does
        generator.post_nms_topk = {True: 2000, False: 2000}
        generator.pre_nms_topk = {True: 2000, False: 2000}
        assert outside(True) and outside(False) and shares == [1.0] * len(shares)
        assert generator.activity.last == [cells[0]] * 2
        assert generator.trace(images, features).active.all()

    def test_only_active_cells_propose(self, make_guided, batch):
        torch.manual_seed(0)
        generator = with_some_active_cells(make_guided(adaption=None))
        # Proposals that are their anchors.
        for parameter in generator.head.predictor.deltas.parameters():
            torch.nn.init.zeros_(parameter)
        generator.nms_thresh, generator.pre_nms_topk[False] = 1.0, 2000
        generator.post_nms_topk[False] = 2000
        images, features, _ = batch
        traced = generator.trace(images, features)
        proposals = generator(images, features)[0][0].proposal_boxes
        expected = Boxes(traced.anchors[0][traced.active[0]].clone())
        expected.clip((96, 128))
        expected = expected[expected.nonempty()]
        assert len(proposals) == len(expected)
        order, wanted = (x.tensor.sum(dim=1).sort().values for x in (proposals, expected))
        torch.testing.assert_close(order, wanted, atol=1e-2, rtol=0)

    @pytest.mark.parametrize("sparse", [True, False])
    def test_no_active_cell_at_all(self, make_guided, batch, sparse):
        generator = make_guided(location_threshold=1.0, sparse=sparse).eval()
        proposals = generator(*batch[:2])[0]
        assert [len(p) for p in proposals] == [0, 0]
        assert all(p.has("proposal_boxes") and p.has("objectness_logits") for p in proposals)
        assert generator.activity.last == [0, 0]

    def test_without_a_location_branch_every_cell_has_an_anchor(self, make_guided, batch):
        generator = make_guided(location=False).eval()
        generator(*batch[:2])
        assert generator.activity.last == [CELLS, OWN_CELLS]
        assert (generator.trace(*batch[:2]).probability == 1).all()

    def test_activity_adds_up(self, make_guided, batch):
        generator = with_some_active_cells(make_guided())
        generator(*batch[:2])
        first = sum(generator.activity.last)
        generator(*batch[:2])
        activity = generator.activity
        assert activity.images == 4 and activity.active == 2 * first
        assert activity.cells == 2 * (CELLS + OWN_CELLS)
        activity.reset()
        assert (activity.images, activity.cells, activity.active) == (0, 0, 0)

    def test_proposals_can_be_left_out_of_training_alone(self, make_guided, batch):
        generator = make_guided(propose_in_training=False)
        assert generator(*batch)[0] == []
        assert len(generator.eval()(*batch[:2])[0]) == 2


class TestParts:
    def test_what_does_not_fit_together(self, make_guided):
        for options, message in (
            ({"shape": "size"}, "trains it, and one without needs shape=None"),
            ({"location": True}, "one without needs location_loss=None"),
        ):
            other = make_guided(**{**VARIANTS["whole"], **options})
            key = "shape" if "shape" in options else "location_loss"
            with pytest.raises(ValueError, match=message):
                make_guided(
                    shape="none" if key == "shape" else "size",
                    adaption=None,
                    location=key == "shape",
                    **{key: getattr(other, key)} if key != "shape" else {"head": other.head},
                )
        with pytest.raises(ValueError, match="predicts 3 boxes a cell, but there are 1 anchors"):
            make_guided(head=make_guided(**VARIANTS["location"]).head)

    @pytest.mark.parametrize("adaption", ["shape", "learned", "plain", "none"])
    def test_from_yacs(self, adaption):
        cfg = get_cfg()
        add_cascade_rpn_config(cfg)
        cfg.MODEL.PROPOSAL_GENERATOR.NAME = "GuidedAnchorRPN"
        cfg.MODEL.RPN.IN_FEATURES = ["p2", "p3"]
        cfg.MODEL.ANCHOR_GENERATOR.SIZES = [[32], [64]]
        cfg.MODEL.ANCHOR_GENERATOR.ASPECT_RATIOS = [[1.0]]
        cfg.MODEL.GUIDED_ANCHOR.ADAPTION = adaption
        shapes = {f"p{i}": ShapeSpec(channels=8, stride=2**i) for i in (2, 3)}
        generator = build_proposal_generator(cfg, shapes)
        assert generator.location_threshold == 0.01 and not generator.propose_in_padding
        assert generator.shape.box_coder.stds == (0.07, 0.07, 0.14, 0.14)
        assert generator.shape.box_coder.max_side_ratio == 1e6
        assert generator.refinement.box_coder.stds == (0.07, 0.07, 0.11, 0.11)
        cfg.MODEL.GUIDED_ANCHOR.ADAPTION = "warp"
        with pytest.raises(ValueError, match="ADAPTION knows 'shape', 'learned'.*not 'warp'"):
            build_proposal_generator(cfg, shapes)


@pytest.mark.gpu
def test_the_training_step_does_not_wait_for_the_device(make_guided, batch):
    images, features, truth = batch
    generator = make_guided(propose_in_training=False).cuda()
    features = {name: x.cuda() for name, x in features.items()}
    truth = [x.to("cuda") for x in truth]

    def step() -> None:
        sum(generator(images, features, truth)[1].values()).backward()

    step()  # allocates what it needs
    torch.cuda.set_sync_debug_mode("error")
    try:
        step()
    finally:
        torch.cuda.set_sync_debug_mode("default")
