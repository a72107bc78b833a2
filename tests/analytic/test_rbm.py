"""The restricted Boltzmann machine against sums over all of its states.

E(v, h) the energy, F(v) = -log sum_h exp(-E(v, h)), Z = sum_v exp(-F(v)), p(v) = exp(-F(v)) / Z.
"""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from baselines.rbm import RBM, RBMConfig
from genbench.noise import Streams
from genbench.types import Batch, DataSpec, Refused, Step


def rough(shape: tuple[int, ...], hidden: int, scale: float = 0.7, **settings: int) -> RBM:
    """A machine with strong weights and unequal offsets."""
    torch.manual_seed(2)
    model = RBM(DataSpec(shape=shape, levels=2), RBMConfig(hidden=hidden, **settings))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_().mul_(scale)
        model.mu.uniform_(0.2, 0.8)
    return model.eval()


def states(units: int) -> Tensor:
    return torch.tensor(list(itertools.product((0.0, 1.0), repeat=units)))


def energy(model: RBM, v: Tensor, h: Tensor) -> Tensor:
    """E of every pair, `(n, m)`: -(v - mu)'b - (h - 1/2)'c - (v - mu)'W(h - 1/2)."""
    v, h = v - model.mu, h - 0.5
    return -(v @ model.b)[:, None] - (h @ model.c)[None, :] - v @ model.w @ h.T


def test_free_energy_sums_the_hidden_units_out() -> None:
    model, v = rough((1, 2, 3), 5), states(6)
    direct = -torch.logsumexp(-energy(model, v, states(5)), dim=1)
    torch.testing.assert_close(model.free_energy(v), direct, rtol=0, atol=1e-4)


@pytest.mark.parametrize("hidden", [4, 12])
def test_partition_function_is_the_sum_over_both_layers(hidden: int) -> None:
    """With fewer hidden units than pixels the hidden states are enumerated, with more the images."""
    model = rough((1, 3, 3), hidden)
    direct = torch.logsumexp(-energy(model, states(9), states(hidden)).double().flatten(), dim=0)
    log_z, error = model.log_partition()
    assert log_z == pytest.approx(direct.item(), abs=1e-4)
    assert error == 0.0
    x = states(9).to(torch.uint8).reshape(-1, 1, 3, 3)
    assert model.log_prob(x, Streams(0, range(512))).exp().sum().item() == pytest.approx(1.0, abs=1e-4)


def test_partition_function_follows_the_weights() -> None:
    """The averaged weights are put in place behind autograd's back; the cached Z must not survive it."""
    model = rough((1, 3, 3), 4)
    before, _ = model.log_partition()
    model.b.data.add_(1.0)
    after, _ = model.log_partition()
    assert abs(after - before) > 0.01


def test_annealed_importance_sampling_finds_the_exact_partition_function() -> None:
    """Within four of its standard errors; crude annealing is further off, and says so by a larger error."""
    model = rough((1, 6, 6), 10, scale=0.6, temperatures=400, ais_chains=200)
    exact, _ = model.log_partition()
    with torch.no_grad():
        found, error = model.annealed()
    assert 0.0 < error < 0.2
    assert abs(found - exact) < 4 * error
    crude = rough((1, 6, 6), 10, scale=0.6, temperatures=5, ais_chains=200)
    with torch.no_grad():
        assert crude.annealed()[1] > 2 * error


def test_the_kind_of_likelihood_follows_the_sizes() -> None:
    data = DataSpec(shape=(1, 8, 8), levels=2)
    assert RBM(data, RBMConfig(hidden=20)).likelihood == "exact"
    large = RBM(data, RBMConfig(hidden=21, temperatures=20, ais_chains=10))
    assert large.likelihood == "ais"
    assert set(large.report()) == {"log_partition", "log_partition_standard_error"}


def test_gibbs_steps_leave_the_law_as_it_is() -> None:
    """The kernel T(v' | v) = sum_h p(h | v) p(v' | h), with p T = p; `gibbs` draws from T."""
    model, v, h = rough((1, 1, 4), 3), states(4), states(3)
    with torch.no_grad():
        joint = torch.softmax(-energy(model, v, h).double().flatten(), dim=0).reshape(16, 8)
        law = joint.sum(dim=1)
        kernel = (joint / law[:, None]) @ (joint / joint.sum(dim=0)).T
        torch.testing.assert_close(law @ kernel, law)
        n = 40_000
        start = v[5].expand(n, -1)
        drawn = model.gibbs(start, Streams(1, range(n)).uniform(1, 7))
    counts = torch.bincount((drawn @ torch.tensor([8.0, 4.0, 2.0, 1.0])).long(), minlength=16)
    chi2 = ((counts - n * kernel[5]).square() / (n * kernel[5])).sum()
    assert chi2 < 15 + 5 * math.sqrt(30), "chi-square with 15 degrees of freedom"


def test_samples_follow_the_stated_law() -> None:
    """Chi-square of 20,000 chains on all 512 images, those with small expectations pooled."""
    model, n = rough((1, 3, 3), 4, scale=0.5, gibbs_steps=40), 20_000
    v = states(9)
    with torch.no_grad():
        expected = n * model.log_prob(v.to(torch.uint8).reshape(-1, 1, 3, 3), Streams(0, range(512))).exp()
        x = model.sample(Streams(1, range(n)))
    number = (x.flatten(1).float() @ 2.0 ** torch.arange(8, -1, -1.0)).long()
    counts = torch.bincount(number, minlength=512)
    rare = expected < 5
    counts = torch.cat([counts[~rare], counts[rare].sum()[None]])
    expected = torch.cat([expected[~rare], expected[rare].sum()[None]])
    freedom = len(expected) - 1
    assert ((counts - expected).square() / expected).sum() < freedom + 5 * math.sqrt(2 * freedom)


def test_loss_has_the_gradient_of_the_likelihood_when_the_chains_follow_the_law() -> None:
    """d/dw [mean F(data)] - E_p[dF/dw] = -d/dw mean log p(data), the expectation taken over all states."""
    model, v = rough((1, 2, 2), 3), states(4)
    data = v[[3, 9, 9, 14]]
    log_z = torch.logsumexp(-model.free_energy(v), dim=0)
    likelihood = torch.autograd.grad(model.free_energy(data).mean() + log_z, list(model.parameters()))
    law = torch.softmax(-model.free_energy(v), dim=0).detach()
    contrast = model.free_energy(data).mean() - (law * model.free_energy(v)).sum()
    for found, wanted in zip(torch.autograd.grad(contrast, list(model.parameters())), likelihood, strict=True):
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5)


def test_chains_persist_and_travel_with_the_weights() -> None:
    data = DataSpec(shape=(1, 3, 3), levels=2)
    config = RBMConfig.for_data(data)
    model, fresh = RBM(data, config), RBM(data, config)
    x = (Streams(0, range(12)).uniform(1, 3, 3) < 0.5).to(torch.uint8)
    seen = []
    for index in range(2):
        ((group, loss),) = list(model.losses(Batch(x), Step(index, 2, Streams(index + 1, range(12)))))
        assert group == "model"
        assert loss.requires_grad
        seen.append(model.chains.clone())
    assert seen[0].shape == (12, 9)
    assert not torch.equal(*seen)
    fresh.load_state_dict(model.state_dict())
    assert torch.equal(fresh.chains, seen[1])


@pytest.mark.parametrize("data", [DataSpec(shape=(1, 8, 8), levels=17), DataSpec(shape=(2,), levels=None)])
def test_grey_levels_and_points_are_refused(data: DataSpec) -> None:
    with pytest.raises(Refused, match="its pixels are binary"):
        RBM(data, RBMConfig(hidden=4))
