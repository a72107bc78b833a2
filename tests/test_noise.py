"""Noise: published known answers, independence of batching, the laws of the draws, replay."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from genbench.noise import Recorded, Replay, Streams, categorical, derive, fold, philox

DEVICES = ["cpu"] + (["cuda"] if torch.cuda.is_available() else [])

# Random123's known-answer vectors for philox4x32, 10 rounds: counter, key, output (Salmon et al. 2011).
KNOWN = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("counter", "key", "answer"), KNOWN)
def test_philox_gives_the_published_answers(counter, key, answer, device):
    words = philox([torch.tensor([word], device=device) for word in counter], key)
    assert tuple(int(word) for word in words) == answer


def _philox_in_python(counter, key):
    """The same function in unbounded Python integers, as the paper writes it."""
    c, k = list(counter), list(key)
    for _ in range(10):
        p0, p1 = c[0] * 0xD2511F53, c[2] * 0xCD9E8D57
        c = [(p1 >> 32) ^ c[1] ^ k[0], p1 & 0xFFFFFFFF, (p0 >> 32) ^ c[3] ^ k[1], p0 & 0xFFFFFFFF]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return c


def test_a_stream_is_the_documented_function_of_seed_index_and_draw():
    seed, index = 0x1234_5678_9ABC_DEF0, 2**33 + 5
    streams = Streams(seed, [index])
    streams.uniform(3)
    drawn = streams.uniform(6)[0]
    words = []
    for block in range(2):
        words += _philox_in_python((block, 1, index & 0xFFFFFFFF, index >> 32), (seed & 0xFFFFFFFF, seed >> 32))
    assert drawn.tolist() == [((word >> 9) + 0.5) * 2.0**-23 for word in words[:6]]


def test_normals_are_box_muller_of_the_same_words_to_one_ulp():
    words = [_philox_in_python((block, 0, 7, 0), (3, 0)) for block in range(250)]
    expected = []
    for w in words:
        for radius, angle in ((w[0], w[1]), (w[2], w[3])):
            length = math.sqrt(-2 * math.log((radius + 0.5) / 2**32))
            expected += [length * math.cos(2 * math.pi * (angle + 0.5) / 2**32)]
            expected += [length * math.sin(2 * math.pi * (angle + 0.5) / 2**32)]
    drawn = Streams(3, [7]).normal(1000)[0].numpy()
    reference = np.array(expected, dtype=np.float32)
    assert np.all(np.abs(drawn - reference) <= np.spacing(np.abs(reference)))


@pytest.mark.parametrize("kind", ["normal", "uniform"])
def test_draws_do_not_depend_on_batch_order_or_shard(kind):
    def draws(indices):
        noise = Streams(11, indices)
        return [getattr(noise, kind)(*shape) for shape in ((3, 5), (), (2,))]

    whole = draws(range(20))
    order = torch.randperm(20, generator=torch.Generator().manual_seed(0))
    shuffled = draws(order)
    parts = [draws(range(start, start + 5)) for start in range(0, 20, 5)]
    for k in range(3):
        assert torch.equal(whole[k][order], shuffled[k])
        assert torch.equal(whole[k], torch.cat([part[k] for part in parts]))


def test_the_size_of_a_draw_does_not_move_its_first_values_nor_the_next_draw():
    short, long = Streams(0, range(4)), Streams(0, range(4))
    assert torch.equal(short.normal(3), long.normal(9)[:, :3])
    assert torch.equal(short.normal(2), long.normal(2))


def test_seeds_purposes_and_indices_give_different_numbers():
    base = Streams(0, [0]).uniform(64)
    for other in (Streams(1, [0]), Streams(2**32, [0]), Streams(0, [1]), Streams(0, [2**32])):
        assert not torch.equal(base, other.uniform(64))
    assert derive(0, "sample") != derive(0, "train") != derive(1, "train")


def test_the_laws_of_the_draws():
    """Kolmogorov-Smirnov against the laws, and no correlation between images, draws and positions."""
    noise = Streams(5, range(2000))
    uniform, normal = noise.uniform(50).double(), noise.normal(50).double()
    assert 0 < uniform.min() < uniform.max() < 1
    assert stats.kstest(uniform.flatten().numpy(), "uniform").pvalue > 1e-3
    assert stats.kstest(normal.flatten().numpy(), "norm").pvalue > 1e-3
    for a, b in ((normal[:-1], normal[1:]), (normal[:, :-1], normal[:, 1:]), (normal, stats.norm.ppf(uniform))):
        r = np.corrcoef(np.asarray(a).ravel(), np.asarray(b).ravel())[0, 1]
        assert abs(r) < 4 / math.sqrt(np.asarray(a).size)


@pytest.mark.skipif(len(DEVICES) == 1, reason="no CUDA device")
def test_devices_agree():
    a, b = Streams(9, range(64), "cpu"), Streams(9, range(64), "cuda")
    assert torch.equal(a.uniform(1000), b.uniform(1000).cpu())
    x, y = a.normal(1000), b.normal(1000).cpu()
    assert (torch.abs(x - y) <= torch.from_numpy(np.spacing(x.abs().numpy()))).all()


def test_recorded_noise_replays():
    recorded = Recorded(Streams(1, range(3)))
    drawn = [recorded.normal(2, 2), recorded.uniform(4)]
    assert recorded.kinds == ["normal", "uniform"]
    replay = Replay(recorded.tensors)
    assert replay.n == 3
    assert torch.equal(replay.normal(2, 2), drawn[0])
    assert torch.equal(replay.uniform(4), drawn[1])
    with pytest.raises(ValueError, match="asks for draw 2"):
        replay.uniform(4)
    with pytest.raises(ValueError, match="recorded as"):
        Replay(recorded.tensors).normal(3)
    with pytest.raises(ValueError, match="at least one"):
        Replay([])


def test_categorical_is_the_inverse_cdf():
    logits = torch.tensor([[0.0, math.log(2.0), math.log(5.0)]]).expand(7, 3)
    uniform = torch.tensor([0.01, 0.124, 0.126, 0.374, 0.376, 0.9, 0.9999999])
    assert categorical(logits, uniform).tolist() == [0, 0, 1, 1, 2, 2, 2]
    counts = torch.bincount(categorical(logits[:1].expand(80_000, 3), Streams(0, range(80_000)).uniform()), minlength=3)
    assert stats.chisquare(counts.numpy(), [10_000, 20_000, 50_000]).pvalue > 1e-3


def test_an_impossible_category_is_never_drawn():
    logits = torch.tensor([[-torch.inf, 0.0, -torch.inf]]).expand(1000, 3)
    assert (categorical(logits, Streams(0, range(1000)).uniform()) == 1).all()


def _summing(state, rows, draws):
    """x <- c x + z + u, and x itself as output."""
    (x,), (c,), (z, u) = state, rows, draws
    x = c * x + z + u
    return (x,), (x,)


def test_a_fold_draws_in_the_order_of_a_loop():
    coefficients = torch.linspace(0.5, 1.0, 5)
    source = Streams(3, range(4))
    (x,), (path,) = fold(_summing, (torch.zeros(4, 2),), (coefficients,), source, [("normal", (2,)), ("uniform", (2,))])
    noise, expected = Streams(3, range(4)), torch.zeros(4, 2)
    for k, c in enumerate(coefficients):
        expected = c * expected + noise.normal(2) + noise.uniform(2)
        assert torch.equal(path[k], expected)
    assert torch.equal(x, expected)
    assert source.draws == noise.draws == 10


def test_a_fold_becomes_one_scan_when_it_is_exported():
    class Walk(torch.nn.Module):
        def forward(self, x, z, u):
            (x,), (path,) = fold(_summing, (x,), (torch.linspace(0.5, 1.0, 5),), Held(x, z, u), DRAWS)
            return x, path

    class Held:
        def __init__(self, x, *tensors):
            self.n, self.device, self.tensors = x.shape[0], x.device, tensors

        def stacked(self, steps, draws):
            return self.tensors

        def normal(self, *shape):
            raise AssertionError("a loop takes its draws together")

        uniform = normal

    DRAWS = [("normal", (2,)), ("uniform", (2,))]
    inputs = [torch.zeros(4, 2), torch.randn(5, 4, 2), torch.rand(5, 4, 2)]
    n = torch.export.Dim("n")
    program = torch.export.export(Walk(), tuple(inputs), dynamic_shapes=({0: n}, {1: n}, {1: n}))
    assert sum("scan" in str(node.target) for node in program.graph.nodes if node.op == "call_function") == 1
    inputs = [torch.ones(3, 2), torch.randn(5, 3, 2), torch.rand(5, 3, 2)]
    for found, expected in zip(program.module()(*inputs), Walk()(*inputs), strict=True):
        torch.testing.assert_close(found, expected)
