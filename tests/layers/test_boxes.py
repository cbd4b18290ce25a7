"""Box arithmetic."""

from __future__ import annotations

import torch
from torchvision.ops import box_iou as torchvision_box_iou

from cascade_rpn_d2.layers import box_iou, clip_boxes, pairwise_box_iou


def random_boxes(*shape: int) -> torch.Tensor:
    corner = torch.rand(*shape, 2, dtype=torch.float64) * 50
    return torch.cat((corner, corner + torch.rand(*shape, 2, dtype=torch.float64) * 40), dim=-1)


def test_pairwise_iou_equals_torchvision_image_by_image():
    boxes, others = random_boxes(3, 7), random_boxes(3, 11)
    iou = pairwise_box_iou(boxes, others)
    for image in range(3):
        torch.testing.assert_close(iou[image], torchvision_box_iou(boxes[image], others[image]))


def test_boxes_without_area_have_no_iou_and_no_nan_gradient():
    box = torch.tensor([5.0, 5, 5, 5], requires_grad=True)
    iou = box_iou(box, torch.tensor([5.0, 5, 5, 5]))
    iou.backward()
    assert iou == 0 and box.grad is not None and box.grad.isfinite().all()


def test_gradient_of_the_iou():
    boxes, others = random_boxes(20).requires_grad_(), random_boxes(20)
    assert torch.autograd.gradcheck(box_iou, (boxes, others))


def test_clipping_is_per_image():
    boxes = torch.tensor([[[-5.0, -5, 500, 500]]]).expand(2, 1, 4)
    clipped = clip_boxes(boxes, torch.tensor([[100, 200], [40, 30]]))
    assert clipped.flatten(0, 1).tolist() == [[0, 0, 200, 100], [0, 0, 30, 40]]
