"""Sampling: counts, bounds, randomness and the normalisers."""

from __future__ import annotations

import pytest
import torch

from cascade_rpn_d2.modeling import AllSampler, DenseSampler, RandomSampler


def labels(num_positive: int, num_negative: int, num_ignored: int) -> torch.Tensor:
    values = torch.tensor([1] * num_positive + [0] * num_negative + [-1] * num_ignored)
    return values[torch.randperm(len(values))].to(torch.int8)


def test_quota_is_filled_from_negatives():
    images = torch.stack([labels(200, 300, 100), labels(10, 490, 100), labels(0, 600, 0)])
    samples = RandomSampler(256, 0.5)(images)
    taken = samples.take(images)
    assert (samples.labels == 1).sum(1).tolist() == [128, 10, 0]
    assert (samples.labels == 0).sum(1).tolist() == [128, 246, 256]
    # What is sampled has the label it had, and no box is taken twice.
    chosen = samples.labels >= 0
    assert torch.equal(samples.labels[chosen], taken[chosen])
    for index, mask in zip(samples.index, chosen, strict=True):
        assert len(index[mask].unique()) == mask.sum()
    assert samples.normalizer == 256 + 256 + 257


def test_fewer_boxes_than_asked_for():
    samples = RandomSampler(256, 0.5)(labels(3, 5, 2)[None])
    assert (samples.labels == 1).sum() == 3 and (samples.labels == 0).sum() == 5
    assert samples.normalizer == 8


def test_every_candidate_is_as_likely():
    images = labels(40, 60, 0).expand(2000, -1)
    samples = RandomSampler(20, 0.5)(images)
    count = torch.zeros(100)
    for index, mask in zip(samples.index, samples.labels >= 0, strict=True):
        count[index[mask]] += 1
    positive = images[0] == 1
    # 10 of 40 and 10 of 60, 2000 times: within five standard deviations.
    assert ((count[positive] - 500).abs() < 5 * 20).all()
    assert ((count[~positive] - 333).abs() < 5 * 17).all()


def test_take_gathers_boxes_and_scores_alike():
    images = torch.stack([labels(5, 20, 5), labels(2, 20, 8)])
    samples = RandomSampler(10, 0.5)(images)
    values = torch.arange(60.0).view(2, 30)
    boxes = values[..., None].expand(-1, -1, 4)
    assert torch.equal(samples.take(boxes)[..., 0], samples.take(values))


def test_all_sampler_takes_all_and_divides_by_the_number_of_boxes():
    images = torch.stack([labels(2, 90, 8), labels(0, 100, 0)])
    samples = AllSampler(200)(images)
    assert torch.equal(samples.labels, images)
    assert samples.take(images) is images
    assert samples.normalizer == 1.0


def test_dense_sampler_takes_all_and_divides_by_the_number_of_positives():
    images = torch.stack([labels(3, 90, 7), labels(0, 100, 0), labels(12, 80, 8)])
    samples = DenseSampler()(images)
    assert torch.equal(samples.labels, images)
    assert samples.take(images) is images
    assert samples.normalizer == 3 + 1 + 12  # the image without any counts as one


def test_bad_sizes():
    with pytest.raises(ValueError, match="positive_fraction=0"):
        RandomSampler(256, 0)
