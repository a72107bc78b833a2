"""VQ-VAE: gradients go where the paper sends them, the prior is causal and drawn from, the bound is one."""

import dataclasses
import itertools

import pytest
import torch
import torch.nn.functional as F

import genbench
from baselines.vqvae import straight_through
from genbench.noise import Streams
from genbench.types import Batch, Dataset, DataSpec, Refused, Step

SPEC = DataSpec(shape=(1, 8, 8), levels=17)


def build(spec: DataSpec = SPEC, **config: object) -> torch.nn.Module:
    sizes = {"codes": 12, "width": 16, "blocks": 1, "smallest": 4}
    sizes |= {"prior_width": 16, "prior_heads": 2, "prior_depth": 2}
    return genbench.build("vqvae", spec, seed=0, **{**sizes, **config})


def pictures(n: int, spec: DataSpec = SPEC) -> torch.Tensor:
    return (Streams(5, range(n)).uniform(*spec.shape) * spec.levels).to(torch.uint8)


def test_the_straight_through_gradient_is_the_identity():
    z_e, e = torch.randn(4, 3, requires_grad=True), torch.randn(4, 3, requires_grad=True)
    weights = torch.randn(4, 3)
    out = straight_through(z_e, e)
    torch.testing.assert_close(out, e)
    (out * weights).sum().backward()
    torch.testing.assert_close(z_e.grad, weights)
    assert e.grad is None


def test_each_term_of_the_tokenizer_loss_touches_its_own_parameters():
    """Reconstruction: encoder (straight through) and decoder. Codebook: the codebook. Commitment: the encoder."""
    model = build()
    parts = {
        "encoder": list(model.encoder.parameters()),
        "decoder": list(model.decoder.parameters()),
        "codebook": [model.codebook],
    }
    expected = [{"encoder", "decoder"}, {"codebook"}, {"encoder"}]
    for term, touched in zip(range(3), expected, strict=True):
        loss = model.tokenizer_losses(pictures(8))[term]
        for name, parameters in parts.items():
            gradients = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
            moved = any(g is not None and bool(g.ne(0).any()) for g in gradients)
            assert moved == (name in touched), (term, name)


def test_codes_are_the_nearest_by_brute_force():
    model = build()
    z_e = torch.randn(3, 16, model.config.code_dim)
    distances = (z_e[:, :, None] - model.codebook).square().sum(dim=3)
    assert torch.equal(model.nearest(z_e), distances.argmin(dim=2))


@pytest.mark.parametrize("kind", ["attention", "perceptron"])
def test_the_prior_sees_only_what_came_before(kind):
    prior = build(prior=kind).prior.eval()
    z = torch.randint(0, 12, (2, 16), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        before = prior(z)
        for position in range(16):
            changed = z.clone()
            changed[:, position] = (changed[:, position] + 1) % 12
            differs = (prior(changed) - before).abs().amax(dim=(0, 2)) > 1e-6
            assert not differs[: position + 1].any()
            assert differs[position + 1 :].all()


@pytest.mark.parametrize("kind", ["attention", "perceptron"])
def test_the_prior_sums_to_one_and_its_samples_follow_it(kind):
    """All 3^4 grids of codes: the probabilities add up to one, and 40,000 draws follow them (chi-square, 80 degrees
    of freedom: a value above 145 has a probability of 1e-5)."""
    prior = build(DataSpec(shape=(1, 2, 2), levels=3), codes=3, prior=kind).prior.eval()
    with torch.no_grad():
        for p in prior.parameters():
            p += 0.3 * torch.randn(p.shape, generator=torch.Generator().manual_seed(1))
        z = torch.tensor(list(itertools.product(range(3), repeat=4)))
        law = prior.log_prob(z).double().exp()
        assert law.sum().item() == pytest.approx(1.0, abs=1e-5)
        drawn = prior.sample(Streams(0, range(40_000)).uniform(4))
    counts = torch.bincount((drawn * torch.tensor([27, 9, 3, 1])).sum(dim=1), minlength=81)
    assert ((counts - 40_000 * law).square() / (40_000 * law)).sum() < 145


def test_what_the_perceptron_forgets_is_whole_codes_in_training_only():
    """With every code forgotten no conditional depends on another code; in evaluation nothing is forgotten."""
    prior = build(prior="perceptron", prior_forgetting=1.0, prior_dropout=0.0).prior
    z = torch.randint(0, 12, (2, 16), generator=torch.Generator().manual_seed(0))
    other = (z + 1) % 12
    with torch.no_grad():
        assert torch.equal(prior.train()(z), prior(other))
        assert not torch.equal(prior.eval()(z)[:, 1:], prior(other)[:, 1:])


def test_the_perceptron_by_hand():
    """h_0 = f(c_s + sum_{t<s} A_t[z_t]), h_1 = h_0 + f(U h_0 + u), logits b_s + h_1 C_s, position by position."""
    prior = build(prior="perceptron", prior_depth=1).prior.eval()
    with torch.no_grad():
        for p in prior.parameters():
            p += 0.3 * torch.randn(p.shape, generator=torch.Generator().manual_seed(1))
        z = torch.randint(0, 12, (16,), generator=torch.Generator().manual_seed(0))
        logits, total = prior(z[None])[0], torch.zeros(16)
        for s, code in enumerate(z):
            h = F.silu(prior.place[s] + total)
            h = h + F.silu(prior.layers[0].weight @ h + prior.layers[0].bias)
            torch.testing.assert_close(logits[s], h @ prior.exit[s] + prior.bias[s])
            total += prior.enter[s, code]


@pytest.mark.parametrize("state", ["untrained", "trained"])
def test_the_bound_is_below_the_marginal(state):
    """On every 2x2 image of three levels: log p(z(x)) + log p(x|z(x)) <= log sum_z p(z) p(x|z), which sums to one."""
    spec = DataSpec(shape=(1, 2, 2), levels=3)
    model = build(spec, codes=4)
    x = torch.tensor(list(itertools.product(range(3), repeat=4)), dtype=torch.uint8).reshape(-1, 1, 2, 2)
    if state == "trained":
        data = Dataset(name="few", spec=spec, x={"train": x[::9].repeat(20, 1, 1, 1)})
        recipe = dataclasses.replace(model.recipe(spec), steps=300)
        genbench.train(model, data, recipe=recipe, progress=False)
    z = torch.tensor(list(itertools.product(range(4), repeat=4)))
    with torch.no_grad():
        prior = model.prior.log_prob(z)
        terms = [
            model.observation(x, model.codebook[code].expand(len(x), 4, -1)) + p
            for code, p in zip(z, prior, strict=True)
        ]
        exact = torch.logsumexp(torch.stack(terms), dim=0)
    bound = genbench.likelihood(model, x, progress=False).nats
    assert exact.exp().sum().item() == pytest.approx(1.0, abs=1e-3)
    assert (bound <= exact + 1e-4).all()
    if state == "trained":
        assert bound[::9].exp().sum() > 0.3


def test_the_tokenizer_rests_while_the_prior_learns():
    model = build(tokenizer_share=0.5)
    groups = []
    for index in range(10):
        rows = range(8)
        step = Step(index, 10, Streams(index, rows))
        groups += [group for group, _ in model.losses(Batch(pictures(8)), step)]
    assert groups == ["tokenizer"] * 5 + ["prior"] * 5
    assert int(model.counts.sum()) == 5 * 8 * 16


def test_codes_that_nobody_uses_start_anew():
    model = build()
    with torch.no_grad():
        model.codebook[3:] = 1e3
        kept = model.codebook[:3].clone()
        x = pictures(32)
        model._count(model.encode(x))
        dead = model.counts <= 0
        assert dead.any()
        model._restart(x, Streams(0, range(32)).uniform(16))
        assert torch.equal(model.codebook[:3][~dead[:3]], kept[~dead[:3]])
        outputs = model._z_e(x).flatten(0, 1)
        distance = torch.cdist(model.codebook[dead], outputs).min(dim=1).values
    assert distance.max() < 1e-2
    assert not model.counts.any()


def test_the_report_knows_the_use_of_the_codebook():
    model = build()
    assert model.report() == {}
    model.counts += torch.tensor([5, 5, 5, 5, *[0] * 8])
    assert model.report()["codebook_used"] == pytest.approx(4 / 12)
    assert model.report()["codebook_perplexity"] == pytest.approx(4.0)


def test_sharing_all_of_the_training_is_refused():
    with pytest.raises(Refused, match="between 0 and 1"):
        build(tokenizer_share=1.0)


@pytest.mark.parametrize(("smallest", "side"), [(2, 2), (4, 4), (8, 8)])
def test_no_side_of_the_grid_is_below_the_smallest(smallest, side):
    model = build(smallest=smallest)
    assert model.grid == (side, side)
    assert model.encode(pictures(3)).shape == (3, side, side)
    assert model.reconstruct(pictures(3)).shape == (3, *SPEC.shape)
