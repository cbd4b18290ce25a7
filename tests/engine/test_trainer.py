from __future__ import annotations

import math
import random

import numpy as np
import pytest
import torch
from torch import nn

from cascade_rpn_d2.engine import Trainer, TrainingDiverged
from cascade_rpn_d2.engine.trainer import seed_everything


class Line(nn.Module):
    """Loss (w x - y)^2, mean over a batch of pairs, in two terms."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([0.5, -1.0]))

    def forward(self, batch: torch.Tensor) -> dict[str, torch.Tensor]:
        error = (self.weight * batch - 1.0).square().mean(0)
        return {"loss_a": error[0], "loss_b": error[1]}


class Records:
    """Endless batches that say how many were taken."""

    def __init__(self, batches: list[torch.Tensor]) -> None:
        self.batches = batches

    def __iter__(self):
        while True:
            yield from self.batches


def run(batches: list[torch.Tensor], steps: int = 1, **options) -> Trainer:
    model = options.pop("model", None) or Line()
    optimizer = torch.optim.SGD(model.parameters(), lr=options.pop("lr", 0.1))
    trainer = Trainer(model, optimizer, **options)
    trainer.batches = Records(batches)
    trainer.train(0, steps)
    return trainer


BATCHES = [torch.randn(4, 2, generator=torch.Generator().manual_seed(i)) for i in range(3)]


def test_accumulated_steps_equal_steps_on_the_batches_together():
    apart = run(BATCHES[:2], steps=3, accumulate=2)
    together = run([torch.cat(BATCHES[:2])], steps=3)
    torch.testing.assert_close(apart.model.weight, together.model.weight)
    assert apart.storage.latest()["total_loss"][0] == pytest.approx(
        together.storage.latest()["total_loss"][0]
    )


def test_clipping_bounds_the_norm_of_all_gradients_together():
    class Two(Line):
        def __init__(self) -> None:
            super().__init__()
            self.other = nn.Parameter(torch.tensor(2.0))

        def forward(self, batch):
            return super().forward(batch) | {"loss_c": 4.0 * self.other}

    model = Two()
    before = torch.cat([model.weight.detach().clone(), model.other.detach()[None]])
    sum(model(BATCHES[0]).values()).backward()
    gradient = torch.cat([model.weight.grad, model.other.grad[None]])
    model.zero_grad()
    trainer = run(BATCHES[:1], model=model, clip_grad_norm=0.25, log_period=1)
    after = torch.cat([model.weight.detach(), model.other.detach()[None]])
    torch.testing.assert_close(before - after, 0.1 * 0.25 * gradient / gradient.norm())
    assert trainer.storage.latest()["grad_norm"][0] == pytest.approx(float(gradient.norm()))


def test_a_loose_bound_changes_nothing():
    torch.testing.assert_close(
        run(BATCHES, clip_grad_norm=1e6).model.weight, run(BATCHES).model.weight
    )


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_bad_loss_stops_before_its_step(bad, accumulate):
    good = BATCHES[0]
    spoilt = good.clone()
    spoilt[0, 1] = bad
    model = Line()
    reference = run([good], steps=2, accumulate=accumulate).model.weight
    batches = [good] * (3 * accumulate - 1) + [spoilt]
    with pytest.raises(
        TrainingDiverged, match=r"iteration 2 .*loss_a = [\d.]+, loss_b = (nan|inf)"
    ):
        run(batches, steps=5, model=model, accumulate=accumulate)
    torch.testing.assert_close(model.weight, reference, rtol=0, atol=0)


def test_gradients_that_are_not_finite_stop_and_name_their_iteration():
    class Cusp(Line):
        def forward(self, batch):
            # The square root of 0 is finite; its slope is not.
            return super().forward(batch) | {"loss_c": (self.weight[0] * batch[0, 0]).abs().sqrt()}

    smooth, cusp = torch.ones(1, 2), torch.zeros(1, 2)
    with pytest.raises(TrainingDiverged, match=r"iteration 1 \(gradient norm = nan, loss_a = "):
        run([smooth, cusp], steps=3, model=Cusp(), clip_grad_norm=1.0)


def test_bad_proposals_stop_with_the_iteration_and_the_losses_before():
    class Diverging(Line):
        def forward(self, batch):
            if batch.isnan().any():
                raise FloatingPointError("Predicted boxes contain NaN.")
            return super().forward(batch)

    with pytest.raises(
        TrainingDiverged, match=r"iteration 1 \(Predicted boxes contain NaN; .*loss_a = "
    ):
        run([BATCHES[0], BATCHES[0] * math.nan], steps=3, model=Diverging())


def test_a_model_without_losses_is_refused():
    class Silent(Line):
        def forward(self, batch):
            return {}

    with pytest.raises(ValueError, match="Silent returned no losses"):
        run(BATCHES, model=Silent())


@pytest.mark.parametrize("bound", [None, 1e-7])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_mixed_precision_takes_about_the_same_step(dtype, bound):
    class Linear(nn.Linear):
        def forward(self, batch):
            output = super().forward(batch)
            assert output.dtype == dtype or not torch.is_autocast_enabled("cpu")
            # A gradient that float16 would lose if it were not scaled.
            return {"loss": output.float().square().mean() * 1e-6}

    def step(amp_dtype):
        torch.manual_seed(0)
        model = Linear(2, 3)
        start = model.weight.detach().clone()
        run(BATCHES, model=model, lr=1e6, amp_dtype=amp_dtype, clip_grad_norm=bound)
        return model.weight.detach() - start

    expected = step(None)
    assert expected.norm() > 0.01
    torch.testing.assert_close(step(dtype), expected, rtol=0.05, atol=1e-3)


def test_every_batch_of_a_step_has_random_states_of_its_own():
    class Noise(Line):
        seen: list[tuple[float, ...]] = []

        def forward(self, batch):
            self.seen.append((random.random(), np.random.rand(), torch.rand(()).item()))
            return super().forward(batch)

    Noise.seen = []
    run(BATCHES, steps=2, model=Noise(), accumulate=2, seed=3)
    first = Noise.seen
    assert len(set(first)) == 4
    Noise.seen = []
    torch.rand(7)
    run(BATCHES, steps=4, model=Noise(), seed=3)
    assert Noise.seen == first
    Noise.seen = []
    run(BATCHES, steps=4, model=Noise(), seed=4)
    assert not set(Noise.seen) & set(first)


def test_random_states_differ_for_each_counter():
    draws = set()
    for counters in [(0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0), (0, 0), (2**40, 0, 0)]:
        seed_everything(*counters)
        draws.add(torch.rand(()).item())
    # Zeros at the end add nothing to a seed.
    assert len(draws) == 5


def test_a_loaded_state_has_the_momentum_but_the_configured_rate():
    def make(lr):
        model = Line()
        optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)
        trainer = Trainer(model, optimizer, seed=int(lr * 10))
        trainer.batches = Records(BATCHES)
        return trainer

    old, new = make(0.1), make(0.2)
    old.train(0, 2)
    new.load_state_dict(old.state_dict())
    assert new.seed == 1
    (group,) = new.optimizer.param_groups
    assert group["lr"] == group["initial_lr"] == 0.2
    buffer = new.optimizer.state[new.model.weight]["momentum_buffer"]
    torch.testing.assert_close(buffer, old.optimizer.state[old.model.weight]["momentum_buffer"])


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [None, torch.float16, torch.bfloat16])
def test_on_a_gpu_steps_are_the_same_and_a_bad_loss_stops(dtype):
    cpu = run(BATCHES, steps=3, clip_grad_norm=1.0)
    on_gpu = [batch.cuda() for batch in BATCHES]
    gpu = run(on_gpu, steps=3, clip_grad_norm=1.0, model=Line().cuda(), amp_dtype=dtype)
    torch.testing.assert_close(gpu.model.weight.cpu(), cpu.model.weight, rtol=1e-3, atol=1e-4)
    with pytest.raises(TrainingDiverged, match="iteration 1"):
        run([on_gpu[0], on_gpu[1] * math.nan], steps=3, model=Line().cuda(), amp_dtype=dtype)
