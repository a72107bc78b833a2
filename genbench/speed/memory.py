"""How much memory sampling takes: the process's peak, torch's allocator, the device; measured in a pass of its own.

ONNX Runtime's memory is invisible to torch's counters, so that the process (on a CPU) and the device (on a GPU) are
what backends are compared by.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import torch

_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def resident() -> int | None:
    """Bytes of the process that are in memory now; None where the system does not tell."""
    return _status("VmRSS")


def process_peak() -> int:
    """The most bytes of the process that were in memory at once, since `reset` where the system can reset it."""
    if (peak := _status("VmHWM")) is not None:
        return peak
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def reset(device: torch.device) -> bool:
    """Starts the peaks anew; False where the process's peak is that of its whole life."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    try:
        _RESET.write_text("5", encoding="ascii")
    except OSError:
        return False
    return True


def device_used(device: torch.device) -> int | None:
    """Bytes of a GPU that are taken, by whomever; None on a CPU."""
    if device.type != "cuda":
        return None
    free, total = torch.cuda.mem_get_info(device)
    return total - free


def available(device: torch.device) -> int:
    """Bytes that can still be had: of the GPU, or of the machine within the limit of its control group."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    found = [int(line.split()[1]) * 1024 for line in _lines(Path("/proc/meminfo")) if line.startswith("MemAvailable")]
    group = Path("/sys/fs/cgroup")
    limit, used = _lines(group / "memory.max"), _lines(group / "memory.current")
    if limit and used and limit[0].isdigit():
        found.append(max(0, int(limit[0]) - int(used[0])))
    return min(found, default=2**32)


def watched(work: Callable[[], object], device: torch.device, base: int | None) -> dict[str, float]:
    """Bytes that some work takes: name of the measurement -> peak.

    Args:
        base: bytes of the device that were taken before this process started to use it.
    """
    own = reset(device)
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    found = {"memory_process": float(process_peak())} if own else {"memory_process_life": float(process_peak())}
    if device.type == "cuda":
        found["memory_torch"] = float(torch.cuda.max_memory_allocated(device))
        if base is not None and (used := device_used(device)) is not None:
            found["memory_device"] = float(max(0, used - base))
    return found


def _status(name: str) -> int | None:
    for line in _lines(_STATUS):
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    return None


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return []
