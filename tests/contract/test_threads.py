"""A training on two threads ends with the same bits every time: no sum whose order the threads decide."""

import pytest
import torch

import genbench
from genbench.construct import model_class
from genbench.provenance import weights_digest
from genbench.types import DataSpec
from tests.contract.table import MODELS


@pytest.fixture
def two_threads():
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(1)


@pytest.mark.slow  # seconds alone; minutes where other tests hold the cores that its threads wait for
@pytest.mark.parametrize("name", [name for name in MODELS if "[" not in name])
def test_two_threads_repeat_a_training(name, two_threads):
    data = genbench.dataset("digits-binary" if name == "rbm" else "digits")
    if reason := model_class(name).supports(data.spec):
        pytest.skip(reason)
    found = set()
    for _ in range(3):
        model = genbench.build(name, data.spec, seed=0)
        genbench.train(model, data, steps=20, seed=0, progress=False)
        found.add(weights_digest(model.state_dict()))
    assert len(found) == 1


@pytest.mark.slow
def test_two_threads_add_up_a_codebooks_gradient_in_one_order(two_threads):
    """64 images of 7x7 codes: from such sizes on the gradient of an index would be the threads' to order."""
    spec = DataSpec(shape=(1, 28, 28), levels=256)
    model = genbench.build("vqvae", spec, seed=0)
    z_e = torch.randn(64, 49, model.config.code_dim, generator=torch.Generator().manual_seed(0))
    model._z_e = lambda x: z_e
    x = torch.zeros(64, 1, 28, 28, dtype=torch.uint8)
    found = set()
    for _ in range(30):
        model.codebook.grad = None
        model.tokenizer_losses(x)[1].backward()
        found.add(weights_digest({"gradient": model.codebook.grad}))
    assert len(found) == 1
