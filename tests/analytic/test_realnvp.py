"""RealNVP against autograd: the inverse inverts, the log-determinant is that of the Jacobian, bounds are bounds."""

import itertools

import pytest
import torch

import genbench
from baselines.realnvp import checkerboard, halves
from genbench.noise import Streams
from genbench.types import DataSpec, Refused

SPACES = {
    "plane": DataSpec(shape=(2,), levels=None),
    "five dimensions": DataSpec(shape=(5,), levels=None),
    "two scales": DataSpec(shape=(1, 8, 8), levels=17),
    "one scale": DataSpec(shape=(1, 3, 3), levels=2),
    "one pixel": DataSpec(shape=(3, 1, 1), levels=4),
}


def stirred(spec: DataSpec, **config: object) -> torch.nn.Module:
    """A model in float64 whose weights, standardization included, are far from the identity that it starts as."""
    small = {"couplings": 3, "width": 8, "hidden": 16, "steepest": 3.0}
    model = genbench.build("realnvp", spec, seed=0, **{**small, **config})
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in model.parameters():
            p += 0.1 * torch.randn(p.shape, generator=generator)
        model.standardize.observe(3.0 * torch.randn(50, *spec.shape, generator=generator) + 1.0)
    return model.double().eval()


def reals(spec: DataSpec, n: int) -> torch.Tensor:
    return 2.0 * torch.randn(n, *spec.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


@pytest.mark.parametrize("space", SPACES)
def test_the_inverse_inverts(space):
    model, x = stirred(SPACES[space]), reals(SPACES[space], 20)
    with torch.no_grad():
        z, _ = model.flow(x)
        assert (z - x.flatten(1)).abs().max() > 0.5
        torch.testing.assert_close(model.inverse(z), x, rtol=0, atol=1e-5)


@pytest.mark.parametrize("space", SPACES)
def test_single_precision_inverts_as_well(space):
    model, x = stirred(SPACES[space]).float(), reals(SPACES[space], 20).float()
    with torch.no_grad():
        torch.testing.assert_close(model.inverse(model.flow(x)[0]), x, rtol=0, atol=1e-3)


@pytest.mark.parametrize("space", SPACES)
def test_the_log_determinant_is_that_of_the_jacobian(space):
    model, x = stirred(SPACES[space]), reals(SPACES[space], 3)
    _, log_det = model.flow(x)
    for row, found in zip(x, log_det, strict=True):
        jacobian = torch.autograd.functional.jacobian(lambda r: model.flow(r[None])[0][0], row)
        expected = torch.linalg.slogdet(jacobian.reshape(row.numel(), -1)).logabsdet
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_the_jacobian_of_the_logits_is_that_of_autograd():
    """From x + u, the integer image with its noise, to the logits: alpha, the scaling by L and the logit."""
    spec = DataSpec(shape=(1, 2, 2), levels=17)
    model = genbench.build("realnvp", spec, seed=0).double()
    x, u = (
        torch.tensor([0, 3, 9, 16]).reshape(1, 1, 2, 2),
        torch.tensor([0.1, 0.9, 0.5, 0.3]).double().reshape(1, 1, 2, 2),
    )
    _, log_det = model.logits(x, u)
    jacobian = torch.autograd.functional.jacobian(lambda v: model.logits(x, v)[0].flatten(), u).reshape(4, 4)
    torch.testing.assert_close(log_det[0], torch.linalg.slogdet(jacobian).logabsdet, rtol=0, atol=1e-6)


def test_a_plane_of_the_density_integrates_to_one():
    model = stirred(SPACES["plane"])
    axis = torch.linspace(-30.0, 30.0, 601, dtype=torch.float64)
    with torch.no_grad():
        total = model.log_density(torch.cartesian_prod(axis, axis)).exp().sum() * 0.1**2
    assert total.item() == pytest.approx(1.0, abs=1e-3)


def test_the_bound_is_below_the_law_of_an_identity_flow():
    """An untrained flow is the identity, so that P(x) is known: by the logistic map v = sigmoid(h), h ~ N(0, 1),

        P(x_i) = Phi(logit v_+) - Phi(logit v_-),   v_- = alpha + (1 - 2 alpha) x_i / L,  v_+ the same of x_i + 1.

    The bound grows with M and stays below; exp of it is an unbiased estimate.
    """
    spec = DataSpec(shape=(1, 2, 2), levels=3)
    everything = torch.tensor(list(itertools.product(range(3), repeat=4)), dtype=torch.uint8).reshape(-1, 1, 2, 2)
    edges = torch.logit(0.05 + 0.9 * torch.arange(4, dtype=torch.float64) / 3)
    cumulative = torch.special.ndtr(edges)
    exact = torch.log(cumulative.diff())[everything.flatten(1).long()].sum(dim=1)
    means = []
    for count in (1, 4, 16):
        model = genbench.build("realnvp", spec, seed=0, dequantization_samples=count, width=4)
        runs = [genbench.likelihood(model, everything, seed=s, progress=False).nats for s in range(8)]
        means.append(torch.stack(runs).mean(dim=0))
        assert torch.stack(runs).exp().mean().item() == pytest.approx(exact.exp().mean().item(), rel=0.05)
    assert means[0].mean() < means[1].mean() < means[2].mean() < exact.mean()
    assert (exact - means[2]).mean() < 0.03


def test_masks_split_the_image_in_two():
    board = checkerboard((2, 3, 4))
    assert board[0].tolist() == [[1, 0, 1, 0], [0, 1, 0, 1], [1, 0, 1, 0]]
    assert torch.equal(board[0], board[1])
    assert halves((4, 1, 2)).flatten(1).tolist() == [[1, 1], [1, 1], [0, 0], [0, 0]]


def test_a_coupling_needs_a_second_value():
    with pytest.raises(Refused, match="at least two values"):
        genbench.build("realnvp", DataSpec(shape=(1,), levels=None))


def test_the_kind_of_likelihood_follows_the_data():
    assert genbench.build("realnvp", SPACES["plane"]).likelihood == "exact"
    assert genbench.build("realnvp", SPACES["one scale"]).likelihood == "dequantized"


def test_a_mixture_of_one_component_is_affine():
    """The coupling of the paper: y = (x - m) / w on one half, steered by the other."""
    model = stirred(SPACES["plane"], components=1, couplings=1)
    x = reals(SPACES["plane"], 50)
    coupling = model.stages[0].links[0]
    with torch.no_grad():
        y, log_det = coupling(x)
        _, place, log_width = coupling._parts(coupling.mask * x)
        affine = (x - place[:, 0]) * torch.exp(-log_width[:, 0])
        torch.testing.assert_close(y[:, 1], affine[:, 1], rtol=0, atol=1e-9)
        torch.testing.assert_close(log_det, -log_width[:, 0, 1], rtol=0, atol=1e-9)
    assert torch.equal(y[:, 0], x[:, 0])  # the half that steers


def test_a_mixture_is_inverted_across_the_gaps_between_its_components():
    spec = SPACES["plane"]
    model = genbench.build("realnvp", spec, seed=0, components=3).double()
    with torch.no_grad():
        for coupling in model.stages[0].links:
            _, place, log_width = coupling.net[-1].bias.unflatten(0, (3, 3, 2))
            place.copy_(torch.tensor([-5.0, 0.0, 5.0])[:, None])
            log_width.fill_(-3.0)
        z = reals(spec, 200)
        torch.testing.assert_close(model.flow(model.inverse(z))[0], z, rtol=0, atol=1e-4)


def test_samples_of_one_image_do_not_depend_on_the_others():
    spec = SPACES["two scales"]
    model = stirred(spec).float()
    with torch.no_grad():
        alone = model.sample(Streams(0, [3]))
        together = model.sample(Streams(0, range(6)))[3:4]
    assert (alone == together).float().mean() > 0.98
