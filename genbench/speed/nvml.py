"""What an NVIDIA GPU says of itself, asked from its driver's library: who computes on it, what it has consumed.

Nothing here makes a CUDA context, so that asking changes nothing. Where there is no driver every answer is None.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

_SUCCESS, _TOO_SMALL = 0, 7


class _Memory(ctypes.Structure):
    _fields_ = (("total", ctypes.c_ulonglong), ("free", ctypes.c_ulonglong), ("used", ctypes.c_ulonglong))


@contextmanager
def _handle(device: torch.device) -> Iterator[tuple[Any, ctypes.c_void_p] | None]:
    """The library and the GPU that torch calls `cuda:N`."""
    library: Any = None
    try:
        library = ctypes.CDLL("libnvidia-ml.so.1")
        opened = library.nvmlInit_v2() == _SUCCESS
    except (OSError, AttributeError):
        opened = False
    if device.type != "cuda" or not opened:
        yield None
        return
    try:
        shown = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
        index, handle = device.index or 0, ctypes.c_void_p()
        name = shown[index] if index < len(shown) else str(index)
        if name.isdigit():
            status = library.nvmlDeviceGetHandleByIndex_v2(ctypes.c_uint(int(name)), ctypes.byref(handle))
        else:
            status = library.nvmlDeviceGetHandleByUUID(name.encode(), ctypes.byref(handle))
        yield (library, handle) if status == _SUCCESS else None
    finally:
        library.nvmlShutdown()


def processes(device: torch.device) -> int | None:
    """How many processes compute on the GPU."""
    with _handle(device) as found:
        if found is None:
            return None
        library, handle = found
        count = ctypes.c_uint(0)
        status = library.nvmlDeviceGetComputeRunningProcesses_v3(handle, ctypes.byref(count), None)
        return int(count.value) if status in (_SUCCESS, _TOO_SMALL) else None


def used(device: torch.device) -> int | None:
    """Bytes of its memory that are taken."""
    with _handle(device) as found:
        if found is None:
            return None
        library, handle = found
        memory = _Memory()
        return int(memory.used) if library.nvmlDeviceGetMemoryInfo(handle, ctypes.byref(memory)) == _SUCCESS else None


def joules(device: torch.device) -> float | None:
    """Energy that the GPU has consumed since its driver was loaded; differences are what counts."""
    with _handle(device) as found:
        if found is None:
            return None
        library, handle = found
        energy = ctypes.c_ulonglong(0)
        status = library.nvmlDeviceGetTotalEnergyConsumption(handle, ctypes.byref(energy))
        return energy.value / 1000 if status == _SUCCESS else None
