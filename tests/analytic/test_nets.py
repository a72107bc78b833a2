"""The backbones: any size of image, every weight in use, and the affine map's determinant."""

import math

import pytest
import torch
from torch import nn

from baselines.nets import MLP, ResBlock, Standardize, TimeMLP, UNet, fourier_features, group_norm, timestep_embedding


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("shape", [(1, 2, 2), (1, 3, 3), (3, 8, 8), (2, 5, 12), (1, 28, 28), (3, 64, 64)])
def test_unet_serves_any_size(shape: tuple[int, ...]) -> None:
    net = UNet(shape[0], 2 * shape[0], width=8, multipliers=(1, 2, 2))
    out = net(torch.randn(2, *shape), torch.rand(2))
    assert out.shape == (2, 2 * shape[0], *shape[1:])
    assert (out == 0).all(), "untrained, it says 0"


@pytest.mark.parametrize(
    ("size", "lowest"), [((8, 8), (2, 2)), ((3, 3), (3, 3)), ((2, 2), (2, 2)), ((28, 28), (7, 7)), ((6, 16), (3, 4))]
)
def test_unet_halves_what_is_even_and_at_least_four(size: tuple[int, int], lowest: tuple[int, int]) -> None:
    net, seen = UNet(1, 1, width=8, multipliers=(1, 1, 1)), []
    net.attention.register_forward_hook(lambda module, inputs, output: seen.append(tuple(output.shape[-2:])))
    net(torch.randn(1, 1, *size), torch.rand(1))
    assert seen == [lowest]


@pytest.mark.parametrize("shape", [(1, 2, 2), (1, 3, 3), (3, 8, 8)])
def test_every_weight_of_the_unet_learns_after_one_step(shape: tuple[int, ...]) -> None:
    """Only the zero output layer can hide the others, and only in the first step."""
    _every_weight_learns(UNet(shape[0], shape[0], width=8, multipliers=(1, 2)), torch.randn(4, *shape))


def test_every_weight_of_the_time_mlp_learns_after_one_step() -> None:
    _every_weight_learns(TimeMLP(2, hidden=16, depth=2, octaves=3), torch.randn(4, 2))


def _every_weight_learns(net: nn.Module, x: torch.Tensor) -> None:
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        (net(x, torch.rand(len(x))) - torch.randn_like(x)).square().mean().backward()
        optimizer.step()
    # A weight that the next layer undoes gets rounding noise for a gradient, of the order of 1e-9.
    blind = [name for name, p in net.named_parameters() if p.grad is None or p.grad.abs().max() < 1e-7]
    assert not blind


@pytest.mark.parametrize("net", [UNet(1, 1, width=8), TimeMLP(16, hidden=16)], ids=["unet", "mlp"])
def test_an_image_does_not_depend_on_its_batch(net: nn.Module) -> None:
    with torch.no_grad():
        for p in net.parameters():
            p.normal_(std=0.2)
    x, t = torch.randn(5, 1, 4, 4), torch.rand(5)
    x = x if isinstance(net, UNet) else x.flatten(1)
    whole = net(x, t)
    assert whole.std() > 0
    torch.testing.assert_close(whole[3:4], net(x[3:4], t[3:4]))
    torch.testing.assert_close(net(x, t[:1]), net(x, t[:1].expand(5)), msg="one time serves a whole batch")


def test_timestep_embedding_is_the_paper_s() -> None:
    """At t = i / 1000: cos and sin of i 10000^(-k / (d/2 - 1)), k = 0 .. d/2 - 1."""
    index = torch.tensor([0.0, 1.0, 7.0, 999.0])
    rate = 10_000.0 ** (-torch.arange(8) / 7)
    angle = index[:, None] * rate
    expected = torch.cat([angle.cos(), angle.sin()], dim=1)
    torch.testing.assert_close(timestep_embedding(index / 1000, 16), expected, atol=2e-4, rtol=0)


def test_fourier_features_keep_the_point_and_add_octaves() -> None:
    x = torch.tensor([[0.3, -1.1]])
    found = fourier_features(x, 2)
    assert found.tolist()[0] == pytest.approx(
        [0.3, -1.1, *(math.sin(v) for v in (0.3, -1.1, 0.6, -2.2)), *(math.cos(v) for v in (0.3, -1.1, 0.6, -2.2))]
    )
    assert fourier_features(x, 0).shape == (1, 2)


@pytest.mark.parametrize(
    ("channels", "groups"), [(1, 1), (3, 1), (6, 1), (8, 2), (24, 6), (36, 9), (128, 32), (256, 32)]
)
def test_group_norm_finds_groups_of_four_or_more(channels: int, groups: int) -> None:
    assert group_norm(channels).num_groups == groups


def test_resblock_starts_near_the_identity() -> None:
    x = torch.randn(2, 6, 3, 5)
    block = ResBlock(6)
    assert (block(x) - x).abs().mean() < 0.1
    assert ResBlock(6, 10, embedding=4)(x, torch.randn(2, 4)).shape == (2, 10, 3, 5)


def test_mlp_has_the_depth_it_says() -> None:
    net = MLP(3, 2, hidden=7, depth=2)
    assert [layer.out_features for layer in net if isinstance(layer, nn.Linear)] == [7, 7, 2]
    assert MLP(3, 2, depth=0)(torch.randn(4, 3)).shape == (4, 2)


@pytest.mark.parametrize("per_coordinate", [False, True])
def test_standardize_inverts_and_knows_its_jacobian(per_coordinate: bool) -> None:
    affine = Standardize((3,), per_coordinate)
    x = torch.randn(500, 3) * torch.tensor([0.1, 2.0, 5.0]) + torch.tensor([1.0, -3.0, 0.5])
    assert torch.equal(affine(x), x)
    assert affine.log_det == 0
    affine.observe(x)
    z = affine(x)
    torch.testing.assert_close(affine.inverse(z), x, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(z.mean(0), torch.zeros(3), atol=1e-5, rtol=0)
    spread = z.var(0, correction=0)
    torch.testing.assert_close(spread if per_coordinate else spread.mean(), torch.ones_like(affine.scale))
    jacobian = torch.autograd.functional.jacobian(affine, x[0])
    torch.testing.assert_close(affine.log_det, torch.linalg.slogdet(jacobian).logabsdet)


def test_standardize_leaves_what_does_not_vary() -> None:
    affine = Standardize((2,), per_coordinate=True)
    affine.observe(torch.tensor([[1.0, 0.0], [1.0, 2.0]]))
    assert affine.scale.tolist() == [1.0, 1.0]
    assert affine.shift.tolist() == [1.0, 1.0]
