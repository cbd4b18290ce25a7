"""What a predictor starts from."""

from __future__ import annotations

import pytest
import torch

from cascade_rpn_d2.modeling import BoxPredictor


def test_scores_start_at_the_prior_probability():
    maps = [torch.randn(2, 64, 6, 8), torch.randn(2, 64, 3, 4)]
    for prior in (0.5, 0.01):
        predictor = BoxPredictor(64, num_anchors=3, prior_probability=prior)
        prediction = predictor(maps)
        scores = prediction.logits.sigmoid()
        assert scores.shape == (2, 180)
        assert scores.median().item() == pytest.approx(prior, rel=0.1)
        assert abs(prediction.deltas.mean().item()) < 0.02
    assert not BoxPredictor(64).objectness.bias.any()


@pytest.mark.parametrize("prior", [0, 1, 1.5])
def test_certainty_is_no_prior(prior: float):
    with pytest.raises(ValueError, match=f"between 0 and 1, not {prior}"):
        BoxPredictor(8, prior_probability=prior)
