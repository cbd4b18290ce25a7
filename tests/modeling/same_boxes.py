"""Lists of scored boxes that are equal but for the rounding of a processor."""

from __future__ import annotations

import torch
from torch import Tensor

# Processors sum in different orders: scores are up to 1.02e-5 away from the recorded ones on one
# without AVX-512, and less than 1e-5 on one with it.
SCORE_TOLERANCE = 2e-5


def assert_same_boxes(
    boxes: Tensor, scores: Tensor, expected: Tensor, expected_scores: Tensor
) -> None:
    """Equal one by one, but that neighbours of equal scores may stand in either order."""
    torch.testing.assert_close(scores, expected_scores, atol=SCORE_TOLERANCE, rtol=0)
    distance = torch.cdist(boxes, expected, p=float("inf"))
    near = (scores[:, None] - expected_scores[None]).abs() < SCORE_TOLERANCE
    distance = distance.masked_fill(~near, float("inf"))
    assert distance.amin(0).max() < 1e-3 and distance.amin(1).max() < 1e-3
    assert (distance.diagonal() < 1e-3).float().mean() > 0.99
