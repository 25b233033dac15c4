"""The mixture of two normal distributions, and the target that learns from it which pairs are wrong."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from core.errors import ConfigError
from core.objectives import FixedScale, Mixture, NoiseSmooth, Objective, OneHot, Pair


def auc(score: torch.Tensor, positive: torch.Tensor) -> float:
    """Probability that a positive scores above a negative, ties half."""
    p, n = score[positive][:, None], score[~positive][None, :]
    return ((p > n).double() + 0.5 * (p == n)).mean().item()


class TestMixture:
    def test_two_groups_are_found(self, rng):
        clean = 1 + 0.2 * torch.randn(600, generator=rng)
        noisy = 4 + 0.5 * torch.randn(400, generator=rng)
        noise = Mixture()(torch.cat([clean, noisy]))
        assert noise[:600].max() < 0.5
        assert noise[600:].min() > 0.5

    def test_a_known_mixture_gives_its_own_posterior(self, rng):
        """Unequal shares and widths, overlapping: the fitted posterior is close to that of the true parameters."""
        n = 6000
        is_high = torch.rand(n, generator=rng) < 0.3
        x = torch.where(is_high, 2 + 0.7 * torch.randn(n, generator=rng), 0.5 * torch.randn(n, generator=rng)).double()
        low = 0.7 / 0.5 * torch.exp(-0.5 * (x / 0.5) ** 2)
        high = 0.3 / 0.7 * torch.exp(-0.5 * ((x - 2) / 0.7) ** 2)
        assert (Mixture()(x) - high / (low + high)).abs().mean() < 0.02

    @pytest.mark.parametrize("x", [[], [2.0], [2.0] * 10, [1.0] * 9 + [5.0], [0.0, 1.0]])
    def test_nothing_breaks_it(self, x):
        noise = Mixture()(torch.tensor(x))
        assert noise.shape == (len(x),)
        assert noise.isfinite().all()
        if len(set(x)) < 2:
            assert not noise.any()  # equal losses accuse nobody

    def test_moving_and_stretching_the_numbers_changes_nothing(self, rng):
        x = torch.cat([torch.randn(50, generator=rng), 6 + torch.randn(50, generator=rng)]).double()
        torch.testing.assert_close(Mixture()(x), Mixture()(3 * x - 7), rtol=0, atol=1e-9)

    def test_settings_are_checked(self):
        with pytest.raises(ConfigError, match="iterations 0"):
            Mixture(iterations=0)


class TestNoiseSmooth:
    def step(self, make_step, a, b, sample=None):
        made = make_step(a, b)
        made.batch.keys["sample"] = torch.arange(len(a)) if sample is None else sample
        return made

    def test_before_the_first_fit_and_with_strength_0_it_is_one_hot(self, make_step, rng):
        a, b = torch.randn(6, 4, generator=rng), torch.randn(6, 4, generator=rng)
        target = NoiseSmooth(samples=6, strength=0.0)
        target.noise_s.fill_(1.0)
        step = self.step(make_step, a, b)
        want = Pair(rows="a", keys="b", target=OneHot())(step)["loss"]
        for t in (target, NoiseSmooth(samples=6)):
            torch.testing.assert_close(Pair(rows="a", keys="b", target=t)(step)["loss"], want, rtol=0, atol=1e-6)

    def test_certain_noise_at_the_top_strength_is_a_uniform_target(self, make_step, rng):
        a, b = (torch.randn(6, 4, generator=rng, dtype=torch.float64) for _ in range(2))
        target = NoiseSmooth(samples=6, strength=5 / 6)
        target.noise_s.fill_(1.0)
        term = Pair(rows="a", keys="b", target=target, scale=FixedScale(temperature=0.2), directions=(1, 0)).double()
        z = F.normalize(a, dim=1) @ F.normalize(b, dim=1).T / 0.2
        want = (z.logsumexp(1) - z.mean(1)).mean()
        torch.testing.assert_close(term(self.step(make_step, a, b))["loss"], want, rtol=0, atol=1e-6)

    def test_losses_are_remembered_per_sample_whatever_the_target(self, make_step, rng):
        a, b = torch.randn(4, 3, generator=rng), torch.randn(4, 3, generator=rng)
        target = NoiseSmooth(samples=10, strength=0.5)
        target.noise_s.fill_(0.7)  # the remembered loss is that of the pair itself, not of the smoothed target
        term = Pair(rows="a", keys="b", target=target, scale=FixedScale(temperature=0.2))
        term(self.step(make_step, a, b, torch.tensor([3, 19, 7, 0])))
        z, y = 5 * F.normalize(a, dim=1) @ F.normalize(b, dim=1).T, torch.arange(4)
        want = (F.cross_entropy(z, y, reduction="none") + F.cross_entropy(z.T, y, reduction="none")) / 2
        torch.testing.assert_close(target.loss_s[[3, 9, 7, 0]], want, rtol=0, atol=1e-5)
        assert target.loss_s[[1, 2, 4, 5, 6, 8]].isnan().all()

    def test_shuffled_pairs_are_found_by_training_and_then_smoothed(self, rng):
        """40% of 200 pairs are shuffled; linear towers trained on them tell right from wrong (AUC above 0.9)."""
        from torch import nn

        from core.objectives import Step
        from core.types import Batch, Encoded, ModalityInput

        n, wrong = 200, 80
        latent = torch.randn(n, 6, generator=rng)
        a = latent @ torch.randn(6, 12, generator=rng)
        b = latent @ torch.randn(6, 12, generator=rng)
        shuffled = torch.zeros(n, dtype=torch.bool)
        shuffled[:wrong] = True
        b[:wrong] = b[:wrong].roll(1, 0)

        class Towers(nn.Module):
            def __init__(self):
                super().__init__()
                self.maps = nn.ParameterDict({m: nn.Parameter(0.3 * torch.randn(12, 6, generator=rng)) for m in "ab"})
                self.reads, self.fusion, self.encoders = {"a": "a", "b": "b"}, None, nn.ModuleDict()

            def encode(self, modality, inp, **_):
                return Encoded(pooled=inp.x @ self.maps[modality])

            def project(self, modality, encoded):
                return encoded.pooled

        model = Towers()
        target = NoiseSmooth(samples=n, strength=0.5)
        objective = Objective(terms=[Pair(rows="a", keys="b", target=target, scale=FixedScale(temperature=0.2))])
        optimiser = torch.optim.Adam(model.parameters(), lr=0.02)
        every = torch.ones(50, dtype=torch.bool)
        for epoch in range(12):
            objective.on_epoch(model, epoch)
            for rows in torch.randperm(n, generator=rng).split(50):
                inputs = {"a": ModalityInput(a[rows]), "b": ModalityInput(b[rows])}
                batch = Batch([""] * 50, inputs, {"a": every, "b": every}, keys={"sample": rows})
                loss, _ = objective(Step(model=model, batch=batch, index=0, generator=rng))
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
        assert auc(target.noise_s, shuffled) > 0.9
        assert target.noise_s[shuffled].mean() > 0.7
        assert target.noise_s[~shuffled].mean() < 0.3

    def test_what_it_knows_is_saved(self):
        one, two = NoiseSmooth(samples=4), NoiseSmooth(samples=4)
        one.loss_s.copy_(torch.tensor([0.1, 0.2, 5.0, float("nan")]))
        one.on_epoch(1)
        two.load_state_dict(one.state_dict())
        assert torch.equal(one.noise_s, two.noise_s)
        assert one.noise_s[2] > 0.9
        assert one.noise_s[3] == 0  # never seen

    def test_nothing_is_fitted_before_the_warm_up_is_over(self):
        target = NoiseSmooth(samples=4, warmup_epochs=2)
        target.loss_s.copy_(torch.tensor([0.1, 0.2, 5.0, 0.1]))
        target.on_epoch(0)
        target.on_epoch(1)
        assert not target.noise_s.any()
        target.on_epoch(2)
        assert target.noise_s.any()

    def test_settings_are_checked(self):
        with pytest.raises(ConfigError, match="samples 0"):
            NoiseSmooth(samples=0)
        with pytest.raises(ConfigError, match="strength 2"):
            NoiseSmooth(samples=5, strength=2)
