"""CascadeRPN as a whole: losses, gradients, proposals, and what it refuses."""

from __future__ import annotations

import copy

import pytest
import torch
from detectron2.config import get_cfg
from detectron2.layers import ShapeSpec
from detectron2.modeling.proposal_generator import build_proposal_generator
from detectron2.structures import Boxes
from detectron2.utils.events import EventStorage

from cascade_rpn_d2.config import add_cascade_rpn_config
from cascade_rpn_d2.layers import box_iou
from cascade_rpn_d2.modeling import (
    AdaptiveAlignment,
    BoxPredictor,
    ConvAlignment,
    IoUAssigner,
    LearnedAlignment,
    RegionAssigner,
    SmoothL1Loss,
)
from cascade_rpn_d2.modeling.box_coder import BoxCoder
from cascade_rpn_d2.modeling.ground_truth import GroundTruth, valid_cells
from tests.modeling.proposal_generator.traces import assert_a_trace_leaves_out_padding


class TestTraining:
    def test_losses_are_named_by_stage_and_only_the_last_stage_classifies(
        self, make_generator, make_stages, batch
    ):
        for count in (2, 3):
            _, losses = make_generator(make_stages(count))(*batch)
            names = [f"loss_rpn_stage{i}_loc" for i in range(1, count + 1)]
            assert sorted(losses) == sorted([*names, f"loss_rpn_stage{count}_cls"])
            assert all(loss.isfinite() and loss.dim() == 0 for loss in losses.values())

    def test_every_parameter_receives_a_gradient_with_and_without_objects(
        self, make_generator, batch
    ):
        images, features, truth = batch
        for objects in (truth, [truth[1], copy.deepcopy(truth[1])]):
            generator = make_generator()
            _, losses = generator(images, features, objects)
            sum(losses.values()).backward()
            assert all(p.grad is not None for p in generator.parameters())

    def test_without_objects_only_objectness_is_learned(self, make_generator, batch):
        images, features, truth = batch
        empty = truth[1]
        _, losses = make_generator()(images, features, [empty, empty])
        assert losses["loss_rpn_stage1_loc"] == 0
        assert losses["loss_rpn_stage2_loc"] == 0
        # An untrained logit of about 0 against 0: ln 2, over 64 negatives and one more an image.
        assert losses["loss_rpn_stage2_cls"].item() == pytest.approx(0.6931 * 64 / 65, abs=0.01)

    def test_stage_2_teaches_stage_1_features_but_not_its_boxes(self, make_generator, batch):
        generator = make_generator()
        _, losses = generator(*batch)
        (losses["loss_rpn_stage2_cls"] + losses["loss_rpn_stage2_loc"]).backward()
        assert generator.stages[0].align.conv.weight.grad.abs().sum() > 0
        assert generator.stages[0].predictor.deltas.weight.grad is None

    def test_the_stage_1_loss_is_divided_by_cells(self, make_generator, batch):
        # UT-8: weight * sum(1 - IoU) / (cells of the canvas / 200), ignored and padding included.
        generator = make_generator()
        images, features, truth = batch
        _, losses = generator(images, features, truth)
        maps = [features[name] for name in generator.in_features]
        grids = generator.grids(maps)
        stage, state, prediction, _ = next(
            generator._run(features, grids, torch.tensor(images.image_sizes))
        )
        anchors = state.boxes
        objects = GroundTruth.from_instances(truth)
        valid = valid_cells(grids, torch.tensor(images.image_sizes), 1, 32)
        assignment = stage.assigner(anchors, objects, grids, 1, valid)
        image, cell = (assignment.labels == 1).nonzero().T
        assert len(image) > 5
        boxes = stage.box_coder.decode(anchors[image, cell], prediction.deltas[image, cell])
        targets = objects.boxes[image, assignment.matched[image, cell]]
        cells = 2 * (24 * 32 + 12 * 16 + 6 * 8)
        expected = 10 * (1 - box_iou(boxes, targets)).sum() / (cells / 200)
        torch.testing.assert_close(losses["loss_rpn_stage1_loc"], expected)

    def test_statistics_reach_the_event_storage(self, make_generator, batch):
        generator = make_generator(log_period=2)
        with EventStorage() as storage:
            generator(*batch)
            assert not storage.latest()
            storage.step()
            generator(*batch)
            latest = storage.latest()
        assert 0 < latest["rpn/stage1_iou"][0] <= 1
        assert latest["rpn/stage1_num_pos"][0] > 2
        assert {"rpn/stage2_iou", "rpn/stage2_num_pos"} <= latest.keys()

    def test_proposals_can_be_left_out(self, make_generator, batch):
        generator = make_generator(propose_in_training=False)
        assert generator(*batch)[0] == []
        assert len(generator.eval()(*batch)[0]) == 2

    def test_a_few_steps_reduce_the_losses(self, make_generator, batch):
        generator = make_generator()
        optimizer = torch.optim.Adam(generator.parameters(), 3e-3)
        history = []
        for _ in range(60):
            torch.manual_seed(0)
            loss = sum(generator(*batch)[1].values())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            history.append(loss.item())
        assert history[-1] < 0.8 * history[0]

    def test_bfloat16_autocast_keeps_boxes_and_losses_in_float32(self, make_generator, batch):
        generator = make_generator()
        with torch.autocast("cpu", torch.bfloat16):
            proposals, losses = generator(*batch)
        assert all(loss.dtype == torch.float32 for loss in losses.values())
        assert proposals[0].proposal_boxes.tensor.dtype == torch.float32

    def test_non_finite_predictions_stop_the_training(self, make_generator, batch):
        generator = make_generator()
        generator.stages[1].predictor.deltas.bias.data.fill_(float("nan"))
        with pytest.raises(FloatingPointError, match="diverged"):
            generator(*batch)

    def test_ground_truth_is_needed(self, make_generator, batch):
        with pytest.raises(ValueError, match="gt_instances"):
            make_generator()(*batch[:2])


class TestInference:
    def test_proposals_are_sorted_clipped_and_limited(self, make_generator, batch):
        proposals, losses = make_generator().eval()(*batch[:2])
        assert losses == {}
        for x, (height, width) in zip(proposals, batch[0].image_sizes, strict=True):
            boxes = x.proposal_boxes.tensor
            assert 0 < len(x) <= 40
            assert (x.objectness_logits.diff() <= 0).all()
            assert (boxes >= 0).all() and (boxes[:, 2] <= width).all()
            assert (boxes[:, 3] <= height).all() and x.proposal_boxes.nonempty().all()
            assert not boxes.requires_grad

    def test_cells_of_another_images_padding_propose_nothing(self, make_generator, batch):
        images, features, truth = batch
        features["p2"][1, :, 16:] += 5  # what the small image has 64 rows and 96 columns of
        generator = make_generator()
        grids, steps = generator.trace(images, features)
        valid = valid_cells(grids, torch.tensor(images.image_sizes), 1, 32)
        logits = [x[cells] for x, cells in zip(steps[-1].prediction.logits, valid, strict=True)]
        assert len(logits[0]) == valid.shape[1] > 1.5 * len(logits[1])
        for train in (True, False):
            proposals = generator.train(train)(images, features, truth)[0]
            for found, own in zip(proposals, logits, strict=True):
                assert len(found) > 10 and torch.isin(found.objectness_logits, own).all()
        for stage in generator.propose_by_stage(images, features):
            assert torch.isin(stage[1].objectness_logits, logits[1]).all()
        generator.propose_in_padding = True  # as the reference implementations do
        for train in (True, False):
            found = generator.train(train)(images, features, truth)[0][1].objectness_logits
            assert not torch.isin(found, logits[1]).all()

    @pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
    def test_a_trace_leaves_out_the_padding_of_other_sizes(self, make_generator):
        assert_a_trace_leaves_out_padding(make_generator(post_nms_topk=(20, 20)))

    def test_every_stage_can_be_looked_at(self, make_generator, make_stages, batch):
        generator = make_generator(make_stages(3)).eval()
        stages = generator.propose_by_stage(*batch[:2])
        assert len(stages) == 3 and all(len(images) == 2 for images in stages)
        final = generator(*batch[:2])[0]
        for image in range(2):
            assert torch.equal(
                stages[-1][image].proposal_boxes.tensor, final[image].proposal_boxes.tensor
            )
        assert not torch.equal(
            stages[0][0].proposal_boxes.tensor[:5], final[0].proposal_boxes.tensor[:5]
        )

    def test_a_trace_shows_what_goes_into_every_stage_and_what_comes_out(
        self, make_generator, make_stages, batch
    ):
        generator = make_generator(make_stages(3)).eval()
        images, features, _ = batch
        grids, steps = generator.trace(images, features)
        assert [(g.height, g.width) for g in grids] == [(24, 32), (12, 16), (6, 8)]
        anchors = torch.cat([a.tensor for a in generator.anchor_generator(list(features.values()))])
        torch.testing.assert_close(steps[0].state.boxes, anchors.expand(2, -1, -1))
        for step, following in zip(steps, steps[1:], strict=False):
            assert following.state.boxes is step.refined
        for step, stage in zip(steps, generator.stages, strict=True):
            assert step.stage is stage
            prediction, _ = stage(step.state, grids)
            torch.testing.assert_close(step.prediction.deltas, prediction.deltas)

    def test_nms_across_levels_suppresses_more(self, make_generator, batch):
        options = {"nms_thresh": 0.3, "post_nms_topk": (1000, 1000)}
        within = make_generator(**options).eval()
        across = make_generator(nms_across_levels=True, **options).eval()
        across.load_state_dict(within.state_dict())
        few, many = across(*batch[:2])[0][0], within(*batch[:2])[0][0]
        assert 0 < len(few) < len(many)
        from torchvision.ops import nms

        assert len(nms(few.proposal_boxes.tensor, few.objectness_logits, 0.3)) == len(few)

    def test_later_stages_read_the_bridged_features_of_stage_1(
        self, make_generator, make_stages, batch
    ):
        generator = make_generator(make_stages(3)).eval()
        seen = []
        for stage in generator.stages:
            stage.register_forward_pre_hook(lambda _, args: seen.append(args[0].features))
        generator(*batch[:2])
        assert torch.equal(seen[0][0], batch[1]["p2"])
        assert seen[1][0] is seen[2][0] and seen[1][0] is not seen[0][0]


class TestVariants:
    @pytest.mark.parametrize(
        "align",
        [
            lambda: ConvAlignment(8, 8),
            lambda: AdaptiveAlignment(8, 8, center_only=True),
            lambda: AdaptiveAlignment(8, 8),
            lambda: LearnedAlignment(8, 8),
        ],
    )
    def test_every_alignment_trains_and_proposes(self, make_generator, make_stages, batch, align):
        stages = make_stages()
        stages[1].align = align()
        generator = make_generator(stages)
        _, losses = generator(*batch)
        sum(losses.values()).backward()
        assert all(p.grad is not None for p in generator.parameters())
        assert len(generator.eval()(*batch[:2])[0][0])

    def test_iterative_rpn_has_many_anchors_and_classifies_twice(
        self, make_generator, make_stages, batch
    ):
        stages = make_stages(num_anchors=3)
        for stage in stages:
            stage.align = ConvAlignment(8, 8)
            stage.assigner = IoUAssigner(0.7, 0.3)
            stage.predictor = BoxPredictor(8, num_anchors=3)
            stage.box_loss = SmoothL1Loss()
            stage.bridge = False
        generator = make_generator(stages, anchors={"aspect_ratios": [0.5, 1.0, 2.0]})
        _, losses = generator(*batch)
        assert len(losses) == 4
        assert len(generator.eval()(*batch[:2])[0][0])

    def test_a_stage_can_read_maps_of_its_own(self, make_generator, make_stages, batch):
        images, features, truth = batch
        stages = make_stages()
        stages[0].bridge = False
        stages[1].in_features = ["q2", "q3", "q4"]
        generator = make_generator(stages)
        features |= {f"q{n}": torch.randn_like(features[f"p{n}"]) for n in (2, 3, 4)}
        features = {name: x.requires_grad_() for name, x in features.items()}
        _, losses = generator(images, features, truth)
        for number, read in ((1, "p"), (2, "q")):
            terms = [v for k, v in losses.items() if f"stage{number}" in k]
            used = torch.autograd.grad(
                sum(terms), list(features.values()), retain_graph=True, allow_unused=True
            )
            reached = [k for k, x in zip(features, used, strict=True) if x is not None]
            assert reached == [f"{read}{n}" for n in (2, 3, 4)]
        # The boxes of stage 1 are refined all the same.
        _, steps = generator.eval().trace(images, features)
        assert steps[1].state.boxes is steps[0].refined
        torch.testing.assert_close(steps[1].state.features[2], features["q4"])

    def test_refuses_stages_that_do_not_fit(self, make_generator, make_stages):
        with pytest.raises(ValueError, match="last stage must classify"):
            make_generator(make_stages()[:1])
        with pytest.raises(ValueError, match="at least one stage"):
            make_generator([])
        with pytest.raises(ValueError, match="predicts 1 boxes a cell, but there are 3"):
            make_generator(anchors={"aspect_ratios": [0.5, 1.0, 2.0]})
        with pytest.raises(ValueError, match="takes one anchor a cell instead of 3"):
            make_generator(make_stages(num_anchors=3), anchors={"aspect_ratios": [0.5, 1.0, 2.0]})
        with pytest.raises(ValueError, match=r"center_offset=0\.0.*offset=0\.5"):
            make_generator(anchors={"offset": 0.5})
        stages = make_stages()
        stages[0].assigner = RegionAssigner(legacy_edges=True)
        with pytest.raises(ValueError, match=r"assigner of stage 1 .*center_offset=0\.5"):
            make_generator(stages)
        with pytest.raises(ValueError, match="as many anchors a cell"):
            make_generator(anchors={"sizes": [[32], [64, 65], [128]]})
        stages = make_stages()
        stages[1].in_features = ["q2", "q3"]
        with pytest.raises(ValueError, match="Stage 2 reads .*'q3'.* anchors for 3 levels"):
            make_generator(stages)


class TestYacs:
    def config(self):
        cfg = get_cfg()
        add_cascade_rpn_config(cfg)
        cfg.MODEL.PROPOSAL_GENERATOR.NAME = "CascadeRPN"
        cfg.MODEL.RPN.IN_FEATURES = ["p2", "p3"]
        cfg.MODEL.ANCHOR_GENERATOR.SIZES = [[32], [64]]
        cfg.MODEL.ANCHOR_GENERATOR.ASPECT_RATIOS = [[1.0]]
        cfg.MODEL.RPN.NMS_THRESH = 0.8
        return cfg

    def build(self, cfg):
        shapes = {f"p{i}": ShapeSpec(channels=8, stride=2**i) for i in (2, 3)}
        return build_proposal_generator(cfg, shapes)

    def test_defaults_are_cascade_rpn_beneath_a_detector(self):
        first, second = self.build(self.config()).stages
        assert isinstance(first.align, ConvAlignment) and first.align.conv.dilation == (3, 3)
        assert isinstance(second.align, AdaptiveAlignment) and not second.align.center_only
        assert (first.bridge, second.bridge) == (True, False)
        assert (first.classifies, second.classifies) == (False, True)
        assert (first.loc_weight, second.loc_weight, second.cls_weight) == (7.0, 7.0, 0.7)
        assert first.box_coder.stds == (0.1, 0.1, 0.5, 0.5)
        assert second.box_coder.stds == (0.05, 0.05, 0.1, 0.1)
        assert second.sampler.batch_size_per_image == 256

    def test_stages_follow_anchors_half_a_stride_inside_their_cells(self):
        cfg = self.config()
        cfg.MODEL.ANCHOR_GENERATOR.OFFSET = 0.5
        first, second = self.build(cfg).stages
        assert first.assigner.center_offset == second.align.center_offset == 0.5

    def test_every_switch(self):
        cfg = self.config()
        cfg.merge_from_list(
            """MODEL.CASCADE_RPN.ALIGNMENT ['none','center','learned']
            MODEL.CASCADE_RPN.ASSIGNMENT ['iou','region','iou']
            MODEL.CASCADE_RPN.IOU_THRESHOLDS [[.5,.4,.2],[.7,.7,.3],[.75,.75,.3]]
            MODEL.CASCADE_RPN.SAMPLING ['random','all','random']
            MODEL.CASCADE_RPN.BBOX_REG_STDS [[1,1,1,1],[.1,.1,.2,.2],[.1,.1,.2,.2]]
            MODEL.CASCADE_RPN.CLASSIFY [True,False,True]
            MODEL.CASCADE_RPN.BRIDGE [False,True,False]
            MODEL.CASCADE_RPN.BBOX_REG_LOSS_TYPE smooth_l1
            MODEL.RPN.SMOOTH_L1_BETA 0.25""".split()
        )
        first, second, third = self.build(cfg).stages
        assert isinstance(first.align, ConvAlignment) and isinstance(third.align, LearnedAlignment)
        assert second.align.center_only and second.bridge and first.classifies
        assert third.assigner.positive_iou == 0.75 and first.assigner.negative_iou == 0.4
        assert isinstance(third.box_loss, SmoothL1Loss) and third.box_loss.beta == 0.25
        assert first.box_coder.stds == BoxCoder().stds

    @pytest.mark.parametrize(
        ("key", "value", "message"),
        [
            ("ALIGNMENT", ["dilated", "adapted"], "'adaptive'.*not 'adapted'"),
            ("BBOX_REG_LOSS_TYPE", "giou", "'smooth_l1', not 'giou'"),
            ("BRIDGE", [True], "'BRIDGE': 1"),
        ],
    )
    def test_bad_values(self, key, value, message):
        cfg = self.config()
        cfg.MODEL.CASCADE_RPN[key] = value
        with pytest.raises(ValueError, match=message):
            self.build(cfg)

    def test_cells_of_padding_propose_if_they_are_told_to(self):
        cfg = self.config()
        assert not self.build(cfg).propose_in_padding
        cfg.MODEL.PROPOSAL_GENERATOR.PROPOSE_IN_PADDING = True
        assert self.build(cfg).propose_in_padding

    def test_a_model_of_proposals_only_skips_them_in_training(self):
        cfg = self.config()
        assert self.build(cfg).propose_in_training
        cfg.MODEL.META_ARCHITECTURE = "ProposalNetwork"
        assert not self.build(cfg).propose_in_training


@pytest.mark.gpu
def test_the_training_step_does_not_wait_for_the_device(make_generator, batch):
    images, features, truth = batch
    generator = make_generator(propose_in_training=False).cuda()
    features = {name: x.cuda() for name, x in features.items()}
    for x in truth:
        x.gt_boxes = Boxes(x.gt_boxes.tensor.cuda())
    sum(generator(images, features, truth)[1].values()).backward()  # allocates what it needs
    torch.cuda.set_sync_debug_mode("error")
    try:
        sum(generator(images, features, truth)[1].values()).backward()
    finally:
        torch.cuda.set_sync_debug_mode("default")
