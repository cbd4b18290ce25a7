"""GuidedAnchorRetinaNet as a whole: losses, gradients, sparse inference, detections, refusals."""

from __future__ import annotations

import math

import pytest
import torch
from detectron2.layers import batched_nms
from detectron2.modeling.anchor_generator import DefaultAnchorGenerator
from detectron2.structures import Boxes
from detectron2.utils.events import EventStorage

from cascade_rpn_d2.layers import clip_boxes
from cascade_rpn_d2.modeling import GuidedAnchorRetinaNet
from cascade_rpn_d2.modeling.ground_truth import valid_cells
from cascade_rpn_d2.modeling.meta_arch.guided_anchor_retinanet import best_of_levels

CELLS = 16 * 20 + 8 * 10 + 4 * 5  # of the batch, 128 x 160 with its padding
OWN_CELLS = 8 * 12 + 4 * 6 + 2 * 3  # of the smaller image, 64 x 96 with its own
LOSSES = ("loss_cls", "loss_box_reg", "loss_anchor_loc", "loss_anchor_shape")
PARTS = {
    "cls_tower", "box_tower", "location", "shape", "cls_adaption.offset", "cls_adaption.conv",
    "box_adaption.offset", "box_adaption.conv", "class_logits", "deltas",
}  # fmt: skip


def awake(model: GuidedAnchorRetinaNet) -> GuidedAnchorRetinaNet:
    """Weights as large as for few channels: 0.01 is for 256 of them, and 8 would die of it."""
    for parameter in model.head.parameters():
        if parameter.dim() == 4 and parameter.shape[-1] == 3:
            torch.nn.init.kaiming_normal_(parameter)
    return model


def detecting(model: GuidedAnchorRetinaNet) -> GuidedAnchorRetinaNet:
    """A model with anchors of different shapes in some of the cells, and sure of some classes."""
    head = awake(model).head
    torch.nn.init.normal_(head.location.weight, std=2.0)
    torch.nn.init.constant_(head.location.bias, -1.0)
    torch.nn.init.normal_(head.shape.weight, std=0.3)
    torch.nn.init.normal_(head.class_logits.weight, std=0.3)
    torch.nn.init.constant_(head.class_logits.bias, -2.0)
    torch.nn.init.normal_(head.deltas.weight, std=0.05)
    model.location_threshold = 0.5
    return model.eval()


def reached_by(model: GuidedAnchorRetinaNet, *losses: torch.Tensor) -> set[str]:
    """Parts of the head that get a gradient other than zero."""
    sum(losses).backward()
    return {
        part
        for part in PARTS
        if any(
            p.grad is not None and p.grad.any() for p in model.head.get_submodule(part).parameters()
        )
    }


class TestTraining:
    def test_losses(self, make_model, batch):
        losses = make_model()(batch)
        assert losses.keys() == set(LOSSES)
        assert all(loss.isfinite() and loss.dim() == 0 for loss in losses.values())
        assert all(loss > 0 for loss in losses.values())

    @pytest.mark.parametrize("data", ["batch", "empty_batch"])
    def test_every_parameter_receives_a_gradient(self, make_model, data, request):
        model = make_model()
        sum(model(request.getfixturevalue(data)).values()).backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())

    @pytest.mark.parametrize(
        ("loss", "reached"),
        [
            (
                "loss_cls",
                {"cls_tower", "cls_adaption.offset", "cls_adaption.conv", "class_logits"},
            ),
            ("loss_box_reg", {"box_tower", "box_adaption.offset", "box_adaption.conv", "deltas"}),
            ("loss_anchor_shape", {"box_tower", "shape"}),
            ("loss_anchor_loc", {"cls_tower", "location"}),
        ],
    )
    def test_which_loss_reaches_which_layer(self, make_model, batch, loss, reached):
        model = awake(make_model())
        assert reached_by(model, model(batch)[loss]) == reached

    def test_a_fresh_location_branch_is_right_about_background(self, make_model, empty_batch):
        """Its loss is 1.5e-5 there; labels the wrong way round would make it 22.6."""
        model = make_model()
        torch.nn.init.zeros_(model.head.location.weight)
        losses = model(empty_batch)
        assert losses["loss_anchor_loc"].item() == pytest.approx(1.5e-5, rel=0.02)
        assert losses["loss_anchor_shape"] == 0 and losses["loss_box_reg"] == 0
        # All cells of both images, but for the padding of the smaller, at a probability of 0.01;
        # an image without an object counts as one with one.
        for parameter in model.head.class_logits.parameters():
            torch.nn.init.constant_(parameter, 0.0 if parameter.dim() > 1 else -math.log(99))
        small = 8 * 12 + 4 * 6 + 2 * 3  # of 64 x 96
        cell = 3 * 0.75 * 0.01**2 * -math.log(0.99)
        expected = cell * (CELLS + small) / 2
        assert model(empty_batch)["loss_cls"].item() == pytest.approx(expected, rel=1e-3)

    def test_a_few_steps_reduce_the_losses(self, make_model, batch):
        model = awake(make_model())
        optimizer = torch.optim.Adam(model.parameters(), 3e-3)
        history = []
        for _ in range(40):
            loss = sum(model(batch).values())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            history.append(loss.item())
        assert history[-1] < 0.8 * history[0]

    def test_statistics_reach_the_event_storage(self, make_model, batch):
        model = make_model(log_period=1)
        with EventStorage() as storage:
            model(batch)
            latest = {name: value for name, (value, _) in storage.latest().items()}
        assert 0 < latest["retinanet/anchor_iou"] <= 1 and 0 < latest["retinanet/iou"] <= 1
        assert latest["retinanet/anchor_num_pos"] > 2 and latest["retinanet/num_pos"] >= 1.5
        assert 0 <= latest["retinanet/active_share"] <= 1

    def test_bfloat16_autocast_keeps_boxes_and_losses_in_float32(self, make_model, batch):
        model = make_model()
        with torch.autocast("cpu", torch.bfloat16):
            losses = model(batch)
            (found, _) = detecting(model)(batch)
        assert all(loss.dtype == torch.float32 and loss.isfinite() for loss in losses.values())
        assert found["instances"].pred_boxes.tensor.dtype == torch.float32
        assert found["instances"].scores.dtype == torch.float32
        sum(losses.values()).backward()

    def test_objects_are_needed(self, make_model, batch):
        with pytest.raises(AssertionError, match="annotations are missing in training"):
            make_model()([{"image": x["image"]} for x in batch])


class TestInference:
    def test_sparse_equals_dense(self, make_model, batch):
        model = detecting(make_model())
        found = []
        for sparse in (True, False):
            model.sparse = sparse
            found.append([x["instances"] for x in model(batch)])
        assert 0 < sum(model.activity.last) < 2 * CELLS
        for ours, dense in zip(*found, strict=True):
            assert len(ours) == len(dense) > 2
            torch.testing.assert_close(ours.pred_boxes.tensor, dense.pred_boxes.tensor)
            torch.testing.assert_close(ours.scores, dense.scores)
            assert torch.equal(ours.pred_classes, dense.pred_classes)

    def test_a_batch_gives_what_its_images_give_alone(self, make_model, batch):
        model = detecting(make_model())
        pair = [batch[0], {**batch[0], "image": batch[0]["image"].flip(2)}]
        together = [x["instances"] for x in model(pair)]
        active = list(model.activity.last)
        for index, x in enumerate(pair):
            found = model([x])[0]["instances"]
            assert model.activity.last == [active[index]] and active[index] > 0
            assert len(found) == len(together[index]) > 0
            torch.testing.assert_close(found.pred_boxes.tensor, together[index].pred_boxes.tensor)
            torch.testing.assert_close(found.scores, together[index].scores)

    @pytest.mark.parametrize("sparse", [True, False])
    def test_cells_of_another_images_padding_detect_nothing(self, make_model, batch, sparse):
        model = detecting(make_model(sparse=sparse, test_score_thresh=0.0, test_nms_thresh=0.9))
        model.location_threshold = 0.0
        images = model.preprocess_image(batch)
        maps = model.backbone(images.tensor)
        towers = model.head(list(maps.values()))
        grids = model._grids(list(maps.values()))
        valid = valid_cells(grids, torch.tensor(images.image_sizes), 1, 32)
        scores = model.head.predict(towers).logits[1].sigmoid()
        own = scores[valid[1]].flatten()

        def outside() -> bool:
            found = model(batch)[1]["instances"]
            height, width = batch[1]["image"].shape[1:]
            boxes = found.pred_boxes.tensor
            assert len(found) and (boxes >= 0).all()
            assert (boxes[:, 2] <= width).all() and (boxes[:, 3] <= height).all()
            return bool((found.scores[:, None] - own).abs().amin(dim=1).amax() > 1e-5)

        assert not outside()
        assert model.activity.last == valid.sum(dim=1).tolist() == [CELLS, OWN_CELLS]
        assert model.activity.cells == CELLS + OWN_CELLS
        assert torch.equal(model.trace(images, maps).active, valid)
        model.propose_in_padding = True  # as the reference does
        assert outside()
        assert model.activity.last == [CELLS, CELLS]
        assert model.trace(images, maps).active.all()

    def test_detections_are_those_of_the_reference(self, make_model, batch):
        """Level by level the best cells by their best class; then all their classes, above the
        score, through NMS: written out here for an image, from what the model predicts densely."""
        model = detecting(make_model(test_topk_candidates=12, max_detections_per_image=30))
        images = model.preprocess_image(batch)
        maps = list(model.backbone(images.tensor).values())
        with torch.no_grad():
            towers = model.head(maps)
            prediction = model.head.predict(towers)
        guided = model.trace(images, model.backbone(images.tensor))
        boxes, scores = [], []
        start = 0
        for grid in guided.grids:
            cells = slice(start, start + grid.cells)
            start += grid.cells
            active = guided.active[0, cells]
            level_scores = prediction.logits[0, cells][active].sigmoid()
            best = level_scores.amax(dim=1).topk(min(12, len(level_scores))).indices
            anchors = guided.anchors[0, cells][active][best]
            deltas = prediction.deltas[0, cells][active][best]
            boxes.append(model.refinement.box_coder.decode(anchors, deltas))
            scores.append(level_scores[best])
        clipped = clip_boxes(torch.cat(boxes)[None], torch.tensor(images.image_sizes[:1]))[0]
        cell, label = (torch.cat(scores) > 0.05).nonzero(as_tuple=True)
        assert len(cell) > len(cell.unique()), "a cell may hold several classes"
        sure = torch.cat(scores)[cell, label]
        keep = batched_nms(clipped[cell], sure, label, 0.5)[:30]
        found = model(batch)[0]["instances"]
        expected = Boxes(clipped[cell][keep])
        nonempty = expected.nonempty()
        torch.testing.assert_close(found.pred_boxes.tensor, expected.tensor[nonempty])
        torch.testing.assert_close(found.scores, sure[keep][nonempty])
        assert torch.equal(found.pred_classes, label[keep][nonempty])

    def test_a_detection_has_more_than_the_least_score(self, make_model, batch):
        model = detecting(make_model())
        scores = model(batch[:1])[0]["instances"].scores
        model.test_score_thresh = scores[2].item()
        assert torch.equal(model(batch[:1])[0]["instances"].scores, scores[:2])

    def test_boxes_are_in_pixels_of_the_image_that_was_given(self, make_model, batch):
        model = detecting(make_model())
        before = model(batch[:1])[0]["instances"]
        after = model([{**batch[0], "height": 256, "width": 450}])[0]["instances"]
        assert after.image_size == (256, 450)
        scale = torch.tensor([3.0, 2, 3, 2])
        torch.testing.assert_close(after.pred_boxes.tensor, before.pred_boxes.tensor * scale)

    @pytest.mark.parametrize("sparse", [True, False])
    def test_no_active_cell_at_all(self, make_model, batch, sparse):
        model = make_model(location_threshold=1.0, sparse=sparse).eval()
        found = [x["instances"] for x in model(batch)]
        assert [len(x) for x in found] == [0, 0]
        assert all(x.has("pred_boxes") and x.has("pred_classes") for x in found)
        assert model.activity.last == [0, 0]

    def test_best_of_levels(self):
        counts = [[2, 3], [0, 1]]  # two levels, two images
        scores = torch.tensor([0.1, 0.2, 0.5, 0.3, 0.4, 0.9])
        first, second = best_of_levels(scores, counts, 2)
        assert first.tolist() == [1, 0] and second.tolist() == [2, 4, 5]


class TestParts:
    def test_what_does_not_fit_together(self, make_model, make_head):
        with pytest.raises(ValueError, match="predicts 5 classes, but the model is to have 3"):
            make_model(head=make_head(num_classes=5))
        anchors = DefaultAnchorGenerator(
            sizes=[[32]], aspect_ratios=[0.5, 1.0], strides=[8], offset=0.0
        )
        with pytest.raises(ValueError, match=r"One shape a cell is predicted, not \[2\]"):
            make_model(anchor_generator=anchors)


@pytest.mark.gpu
def test_the_training_step_does_not_wait_for_the_device(make_model, batch):
    model = make_model().cuda()
    images = model.preprocess_image(batch)
    truth = [x["instances"].to("cuda") for x in batch]

    def step() -> None:
        maps = list(model.backbone(images.tensor).values())
        sum(model.forward_training(images, maps, model.head(maps), truth).values()).backward()

    step()  # allocates what it needs
    torch.cuda.set_sync_debug_mode("error")
    try:
        step()
    finally:
        torch.cuda.set_sync_debug_mode("default")
