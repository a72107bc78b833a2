"""A training on two threads ends with the same bits every time: no sum whose order the threads decide."""

import pytest
import torch

import genbench
from genbench.construct import model_class
from genbench.provenance import weights_digest
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
