"""Models that tell their generator how large images were before they were resized."""

from __future__ import annotations

import pytest
import torch
from detectron2.config import instantiate
from detectron2.export import TracingAdapter
from detectron2.modeling import META_ARCH_REGISTRY, ProposalNetwork
from detectron2.structures import Boxes, ImageList, Instances
from detectron2.utils.events import EventStorage

from cascade_rpn_d2 import model_zoo
from cascade_rpn_d2.evaluation import ProposalsOfDetector
from cascade_rpn_d2.modeling import OriginalSizeProposalNetwork, ResizedImageList

NAME = "faster_rcnn/faster_rcnn_vgg16.py"


def narrow(size: float = 16.0):
    config = model_zoo.get_config(NAME)
    config.model.backbone.widths = [4, 4, 8, 8, 8]
    config.model.roi_heads.box_head.fc_dims = [16, 16]
    generator = config.model.proposal_generator
    generator.anchor_generator.sizes = [[16, 32, 64]]
    generator.min_original_size = size
    torch.manual_seed(1)
    return config.model


def batch(**size) -> list[dict]:
    torch.manual_seed(2)
    return [{"image": torch.randint(0, 255, (3, 96, 128)).float(), **size}]


def sides(proposals: Instances) -> torch.Tensor:
    boxes = proposals.proposal_boxes.tensor
    return boxes[:, 2:] - boxes[:, :2]


def test_they_are_registered():
    assert {"OriginalSizeRCNN", "OriginalSizeProposalNetwork"} <= set(dict(META_ARCH_REGISTRY))


def test_sizes_are_those_of_the_batch_and_else_of_the_image():
    images = ImageList(torch.zeros(2, 3, 64, 64), [(64, 48), (32, 64)])
    resized = ResizedImageList.of(images, [{"height": 128, "width": 96}, {}])
    assert resized.image_sizes == images.image_sizes
    assert resized.original_sizes == [(128, 96), (32, 64)]


@pytest.mark.parametrize("original", [(96, 128), (48, 128), (192, 64)])
def test_no_proposal_is_smaller_in_the_original_image(original):
    height, width = original
    model = instantiate(narrow()).eval()
    found = ProposalsOfDetector(model)(batch(height=height, width=width))[0]["proposals"]
    assert found.image_size == original and len(found) > 5
    assert (sides(found) >= 16 - 1e-3).all()
    everything = ProposalsOfDetector(instantiate(narrow(0.0)).eval())(
        batch(height=height, width=width)
    )[0]["proposals"]
    assert (sides(everything) < 15).any()


def test_a_network_of_proposals_gives_those_of_the_detector():
    detector = narrow()
    model = instantiate(detector).eval()
    parts = ("backbone", "proposal_generator", "pixel_mean", "pixel_std")
    network = OriginalSizeProposalNetwork(
        **{key: getattr(model, key) for key in parts[:2]},
        **{key: list(detector[key]) for key in parts[2:]},
    ).eval()
    inputs = batch(height=48, width=64)
    with torch.no_grad():
        (ours,), (theirs,) = network(inputs), ProposalsOfDetector(model)(inputs)
    assert ours["proposals"].image_size == (48, 64)
    mine, expected = ours["proposals"], theirs["proposals"]
    assert torch.equal(mine.proposal_boxes.tensor, expected.proposal_boxes.tensor)
    assert torch.equal(mine.objectness_logits, expected.objectness_logits)


def test_a_network_of_proposals_trains_as_detectron2s_does():
    model = narrow(0.0)
    parts = ("backbone", "proposal_generator", "pixel_mean", "pixel_std")
    losses = []
    for network in (OriginalSizeProposalNetwork, ProposalNetwork):
        torch.manual_seed(3)
        built = network(
            **{key: instantiate(model)._modules[key] for key in parts[:2]},
            **{key: list(model[key]) for key in parts[2:]},
        )
        built.load_state_dict({k: torch.full_like(v, 0.01) for k, v in built.state_dict().items()})
        truth = Instances((96, 128), gt_boxes=Boxes(torch.tensor([[10.0, 10, 60, 70]])))
        inputs = [each | {"instances": truth} for each in batch()]
        torch.manual_seed(4)
        with EventStorage():
            losses.append(built.train()(inputs))
    assert losses[0].keys() == losses[1].keys() == {"loss_rpn_cls", "loss_rpn_loc"}
    assert all(torch.equal(losses[0][key], losses[1][key]) for key in losses[0])


class Proposer(torch.nn.Module):
    """What a detector proposes, in pixels of the resized image."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, inputs: list[dict]) -> list[Instances]:
        images = self.model.preprocess_image(inputs)
        return self.model.proposal_generator(images, self.model.backbone(images.tensor))[0]


@torch.no_grad()
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
def test_a_trace_drops_what_is_too_small_in_other_images():
    model = Proposer(instantiate(narrow())).eval()
    model.model.proposal_generator.post_nms_topk[False] = 20  # a trace gives as many as at first
    traced_for, other = batch(), [{"image": torch.randint(0, 255, (3, 128, 64)).float()}]
    adapter = TracingAdapter(model, traced_for)
    traced = torch.jit.trace(adapter, adapter.flattened_inputs, check_trace=False)
    (found,) = adapter.outputs_schema(traced(other[0]["image"]))
    (expected,) = model(other)
    assert torch.allclose(found.proposal_boxes.tensor, expected.proposal_boxes.tensor)
    assert (sides(found) >= 16 - 1e-3).all() and len(found) == 20
