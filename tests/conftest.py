"""One thread a process: the tests' tensors are small, and two workers share the cores."""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # child processes as well

import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets impossible and ill-named records into a build: what shows them must not rely on the check before it."""
    monkeypatch.setattr("leaderboard.load.faults", lambda one, until: [])
