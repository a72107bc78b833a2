"""One thread a process: the tests' tensors are small, and two workers share the cores."""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # child processes as well

import pytest
import torch
from hypothesis import settings

torch.set_num_threads(1)
settings.register_profile("genbench", deadline=None)  # how long an example takes says how busy the machine is
settings.load_profile("genbench")


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets impossible and ill-named records into a build: what shows them must not rely on the check before it."""
    monkeypatch.setattr("leaderboard.load.faults", lambda one, until: [])
