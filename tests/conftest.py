"""One thread a process: the tests' tensors are small, and two workers share the cores."""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # child processes as well

import torch

torch.set_num_threads(1)
