"""The laws of points: densities integrate to one, draws follow them, entropies are those of theory."""

import math

import pytest
import torch
from scipy.stats import chi2

from genbench.data.mixtures import SIZES, GaussianMixture, grid25, ring8
from genbench.data.spirals import spirals
from genbench.data.splits import streams
from genbench.noise import Streams

# name: the dataset, its components, half the side and the step of a grid that covers the law
POINTS = {
    "ring8": (ring8, 8, 1.1, 0.005),
    "grid25": (grid25, 25, 4.5, 0.025),
    "spirals": (spirals, 1000, 1.3, 0.015),
}


@pytest.fixture(scope="module", params=POINTS)
def case(request):
    load, components, half, step = POINTS[request.param]
    return load(), components, half, step


def test_the_density_integrates_to_one(case):
    data, _, half, step = case
    axis = torch.arange(-half, half + step / 2, step, dtype=torch.float64)
    log_density = data.log_prob(torch.cartesian_prod(axis, axis))
    assert log_density.dtype == torch.float64
    assert log_density.exp().sum().item() * step**2 == pytest.approx(1.0, abs=1e-6)


def test_splits_have_their_sizes_and_types_and_share_no_point(case):
    data = case[0]
    assert {split: len(x) for split, x in data.x.items()} == SIZES
    assert all(x.dtype == torch.float32 and x.shape[1:] == data.spec.shape == (2,) for x in data.x.values())
    everything = torch.cat(list(data.x.values()))
    assert len(everything.unique(dim=0)) == len(everything)


def test_components_are_equally_likely_and_residuals_are_normal(case):
    """Uses the law's own component of each draw: the first uniform of the row's noise."""
    data, components, _, _ = case
    law, n = data.law, 40_000
    x = law.sample(Streams(5, torch.arange(n)))
    k = (Streams(5, torch.arange(n)).uniform() * components).long()
    expected = n / components
    statistic = ((k.bincount(minlength=components) - expected) ** 2 / expected).sum().item()
    assert statistic < chi2.ppf(0.9999, components - 1)
    z = (x.double() - law.means[k]) / law.sigma
    assert z.mean().abs() < 4 / math.sqrt(2 * n)
    assert (torch.cov(z.T) - torch.eye(2)).abs().max() < 4 * math.sqrt(2 / n)
    inside = (z.norm(dim=1) <= 3).double().mean()
    assert inside == pytest.approx(1 - math.exp(-4.5), abs=4 * math.sqrt(0.011 * 0.989 / n))


@pytest.mark.parametrize("name", ["ring8", "grid25"])
def test_entropy_of_separated_components_is_that_of_theory(name):
    """H = log K + log(2 pi e sigma^2) in the plane when components do not overlap (here: 40 sigma and more apart)."""
    data = POINTS[name][0]()
    truth = math.log(data.law.n_modes) + math.log(2 * math.pi * math.e * data.law.sigma**2)
    value, error = data.entropy()
    assert abs(value - truth) < 4 * error
    assert error < 0.01


def test_log_prob_is_that_of_an_independent_implementation():
    law = GaussianMixture(torch.tensor([[0.0, 1.0], [2.0, -1.0], [0.5, 0.5]]), sigma=0.7)
    x = torch.randn(50, 2, generator=torch.Generator().manual_seed(0)) * 3
    components = torch.distributions.MultivariateNormal(law.means, torch.eye(2).double() * 0.7**2)
    mixture = torch.distributions.MixtureSameFamily(torch.distributions.Categorical(torch.ones(3).double()), components)
    torch.testing.assert_close(law.log_prob(x), mixture.log_prob(x.double()))


def test_a_mode_ends_at_three_sigma():
    law = ring8().law
    offset = torch.tensor([[0.0, 0.0], [0.0, 0.0299], [0.0, 0.0301], [0.021, 0.021], [0.022, 0.022]])
    assert law.modes(law.means[2] + offset).tolist() == [2, 2, -1, 2, -1]
    assert law.modes(torch.tensor([[math.nan, 0.0], [math.inf, 0.0], [0.0, 0.0]])).tolist() == [-1, -1, -1]


def test_the_arms_of_the_spirals_are_its_modes():
    law = spirals().law
    assert law.n_modes == 2
    assert law.modes(law.means).tolist() == [0] * 500 + [1] * 500
    gaps = (law.means[1:500] - law.means[:499]).norm(dim=1)
    assert gaps.max() < law.sigma  # a gap between neighbours of less than sigma cannot be seen in the density


def test_far_away_the_density_is_tiny_and_not_undefined():
    assert ring8().log_prob(torch.tensor([[1e3, 0.0]])).item() == pytest.approx(-0.5 * (999 / 0.01) ** 2, rel=1e-4)


def test_draws_are_a_function_of_their_noise_alone():
    law = grid25().law
    whole = law.sample(Streams(3, torch.arange(10)))
    assert torch.equal(whole[4:7], law.sample(Streams(3, torch.tensor([4, 5, 6]))))


def test_noise_of_splits_and_names_is_never_shared():
    rows = [
        torch.cat([noise.uniform(4) for noise in streams(name, split, 1000)])
        for name in ("ring8", "grid25")
        for split in SIZES
    ]
    assert len(torch.cat(rows).unique(dim=0)) == 6000


def test_ring8_stays_what_it_was():
    data = ring8()
    assert {split: data.checksum(split)[:16] for split in data.x} == {
        "train": "71569ed20af220ca",
        "validation": "915d47376ab3693a",
        "test": "855ca8192efd8c8c",
    }
