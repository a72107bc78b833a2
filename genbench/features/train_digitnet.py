"""Trains the weights of `digitnet` and writes them: `python -m genbench.features.train_digitnet [FILE]`.

Only the 1,000 training images of `digits` are used. An example is an image, moved by a random affine map (shift,
rotation, scale, shear), thresholded at a random level in half of the cases (so that black-and-white digits are at home
too), and with a little noise. AdamW, cosine learning rate, an exponential moving average of the weights.
One thread and seeded throughout: the same machine and the same torch write the same bytes.
"""

from __future__ import annotations

import copy
import hashlib
import math
import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save
from torch import Tensor

from genbench.catalog import resolve
from genbench.features.digitnet import CLASSES, Network
from genbench.images import to_unit

STEPS = 6_000
BATCH = 128
LEARNING_RATE = 2e-3
WEIGHT_DECAY = 0.02
EMA = 0.998
SEED = 0


def augment(x: Tensor, generator: torch.Generator) -> Tensor:
    """Images `(n, 1, 8, 8)` in [0, 1], each changed in its own way."""
    n = len(x)

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(n, *shape, generator=generator)

    angle, shear = uniform(-0.2, 0.2), uniform(-0.2, 0.2)
    across, down = uniform(0.88, 1.12), uniform(0.88, 1.12)
    shift = uniform(-0.2, 0.2, 2)  # in half widths: up to 0.8 pixels
    first = torch.stack([across * torch.cos(angle), shear - torch.sin(angle), shift[:, 0]], dim=1)
    second = torch.stack([torch.sin(angle), down * torch.cos(angle), shift[:, 1]], dim=1)
    where = F.affine_grid(torch.stack([first, second], dim=1), list(x.shape), align_corners=False)
    moved = F.grid_sample(x, where, align_corners=False)
    black_and_white = (moved >= uniform(0.3, 0.65, 1, 1, 1)).float()
    chosen = torch.where(uniform(0, 1, 1, 1, 1) < 0.5, black_and_white, moved)
    noise = 0.06 * torch.randn(x.shape, generator=generator)
    return (chosen + noise * (uniform(0, 1, 1, 1, 1) < 0.5)).clamp(0, 1)


def train() -> Network:
    """The network with the averaged weights."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(SEED)
    generator = torch.Generator().manual_seed(SEED)
    digits = resolve("datasets", "digits")()
    images, labels = to_unit(digits.images("train"), digits.spec.levels), digits.labels("train")
    network = Network()
    average = copy.deepcopy(network)
    optimizer = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    for step in range(STEPS):
        progress = step / STEPS
        warm_up = min(1.0, progress / 0.05)
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * warm_up * 0.5 * (1 + math.cos(math.pi * progress))
        rows = torch.randint(len(images), (BATCH,), generator=generator)
        _, logits = network(augment(images[rows], generator))
        loss = F.cross_entropy(logits, labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        decay = min(EMA, (step + 1) / (step + 10))
        with torch.no_grad():
            for kept, new in zip(average.parameters(), network.parameters(), strict=True):
                kept.lerp_(new, 1 - decay)
    return average.eval()


def accuracy(network: Network, name: str) -> float:
    """The share of a dataset's test images that are classified as labelled."""
    data = resolve("datasets", name)()
    with torch.no_grad():
        _, logits = network(to_unit(data.images("test"), data.spec.levels))
    return float((logits.argmax(dim=-1) == data.labels("test")).float().mean())


def main() -> None:
    network = train()
    data = save({name: value.contiguous() for name, value in network.state_dict().items()})
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("digitnet.safetensors")
    path.write_bytes(data)
    shares = ", ".join(f"{name} {accuracy(network, name):.4f}" for name in ("digits", "digits-binary"))
    sys.stdout.write(f"{path.name}: {len(data):,} bytes, sha256 {hashlib.sha256(data).hexdigest()}\n")
    sys.stdout.write(f"test accuracy over {CLASSES} classes: {shares}\n")


if __name__ == "__main__":
    main()
