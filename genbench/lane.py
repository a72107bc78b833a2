"""A lane: one backend with one model in a process of its own, spoken to in lines of JSON.

The child is this module run as a program. It reads a job, makes the sampler ready, and then answers a request a line;
whatever is printed in it goes to its standard error. A child that dies, hangs or raises is `Lost`, with the reason.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from genbench.errors import Refused, Unavailable
from genbench.speed.protocol import Block, Full, Lost, overhead, short, timed

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from genbench.types import DataSpec, Model

_PATIENCE = 10.0  # seconds for a process to end by itself
_KEPT = 16  # the largest batch of which two different noises are held; of larger ones it is one
_MARGIN = 4  # times the noise's own bytes that must be free: what is computed from it takes room as well


class Job(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a lane is to make ready; `draws` are the law and the shape of all that the sampler draws, in order."""

    model: str
    config: dict[str, Any]  # every field
    dataset: str
    data_root: str | None
    shape: tuple[int, ...]
    levels: int | None
    classes: int | None
    weights: str | None
    seed: int
    device: str
    backend: str
    what: str
    scratch: str  # where compilers keep what they made, so that nothing is there from before
    draws: list[tuple[str, tuple[int, ...]]]


class Lane:
    """The parent's end; made, it is ready: stages, notes and environment of the child are known.

    Raises:
        Unavailable: the backend cannot run this; the sentence says why.
        Lost: the child died or was not ready after `limit` seconds, which is the limit of every later answer too.
    """

    def __init__(self, job: Job, limit: float) -> None:
        self.job, self.limit = job, limit
        self.name = f"{job.backend},{job.what}"
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (open as long as the child)
        self._lost = ""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "genbench.lane"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(["", *sys.path])},
            start_new_session=True,  # so that it can be ended with the processes that a compiler starts
        )
        self._lines: queue.Queue[str] = queue.Queue()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        try:
            ready = self._ask(msgspec.json.encode(job).decode())
        except BaseException:
            self.end()
            raise
        self.stages: dict[str, float] = ready["stages"]
        self.notes: list[str] = ready["notes"]
        self.environment: dict[str, Any] = ready["environment"]
        self.overhead: float = ready["overhead"]

    def block(self, batch: int, runs: int) -> Block:
        """Times some calls in a row."""
        return Block(**self.ask("block", batch=batch, runs=runs))

    def ask(self, do: str, **arguments: Any) -> Any:
        """The child's answer to a request."""
        return self._ask(json.dumps({"do": do, **arguments}))

    def _ask(self, line: str) -> Any:
        assert self._process.stdin is not None
        if self._lost:
            raise Lost(self._lost)
        with contextlib.suppress(BrokenPipeError):  # it is gone: its last line says so
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
        try:
            answered = self._lines.get(timeout=self.limit)
        except queue.Empty:
            self._lost = f"not done after {self.limit:g} s"
            self.end(0.0)
            raise Lost(self._lost) from None
        if not answered:
            self._lost = f"the process ended: {self._cause(self._process.wait())}"
            raise Lost(self._lost)
        answer = json.loads(answered)
        for word, kind in (("unavailable", Unavailable), ("refused", Refused), ("full", Full), ("failed", Lost)):
            if word in answer:
                raise kind(answer[word])
        return answer["answer"]

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put("")

    def _cause(self, status: int) -> str:
        if status < 0:
            return signal.Signals(-status).name
        self._errors.seek(0)
        lines = [line.strip() for line in self._errors.read().decode(errors="replace").splitlines() if line.strip()]
        return f"exit status {status}" + (f", {lines[-1][:300]}" if lines else "")

    def end(self, patience: float = _PATIENCE) -> None:
        """Ends the child: without input it ends by itself; one that does not is killed with what it started."""
        if self._errors.closed:
            return
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()  # type: ignore[union-attr]
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(patience)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._listener.join(timeout=1.0)
        self._process.stdout.close()  # type: ignore[union-attr]
        self._errors.close()


def built(kind: type[Model], data: DataSpec, config: Any, seed: int, weights: Path | str | None) -> Model:
    """A model of a class on the CPU with its weights; without, with the initial ones of a seed.

    Both ends make it here, so that what the parent describes is what the child times.
    """
    from genbench import construct
    from genbench.store import load

    model = construct.build_configured(kind, data, config, seed)
    return load(model, weights) if weights else model


class _Child:
    """The child's end: a sampler that is ready, and what it is asked to do."""

    def __init__(self, job: Job) -> None:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = os.environ["TRITON_CACHE_DIR"] = job.scratch
        started = time.perf_counter()
        import torch

        import genbench.store  # noqa: F401 (or its import would count as part of the load)
        from genbench import construct, provenance
        from genbench.noise import Recorded
        from genbench.speed import backends
        from genbench.types import DataSpec

        kind = construct.model_class(job.model)
        stages = backends.Stages()
        stages.seconds["import"] = time.perf_counter() - started
        self.job, self.device = job, torch.device(job.device)
        if self.device.type == "cuda":
            torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
        spec = DataSpec(shape=job.shape, levels=job.levels, classes=job.classes)
        with stages("load"):
            if kind.control:  # a control may hold the data or its law
                spec = construct.dataset(job.dataset, root=job.data_root).spec
            config = construct.configure(job.model, spec, job.config)
            self.model = built(kind, spec, config, job.seed, job.weights)
            self.model.to(self.device).eval().requires_grad_(False)
            self._synchronize()
        backend = backends.find(job.backend)
        self._recorded = Recorded
        noise = self._noise(1, 0)
        self.prepared = backend.prepare(self.model, job.what, noise, stages)  # type: ignore[arg-type]
        with stages("first call"):
            self._synchronize()
        self._noises: dict[int, list[list[Tensor]]] = {}
        self._typical: dict[int, float] = {}
        self.ready = {
            "stages": stages.seconds,
            "notes": list(self.prepared.notes),
            "environment": {**provenance.environment(self.device), **_surroundings(self.device)},
            "overhead": overhead(),
        }

    def _synchronize(self) -> None:
        if self.device.type == "cuda":
            import torch

            torch.cuda.synchronize(self.device)

    def _noise(self, batch: int, start: int) -> Any:
        """Noise of another batch size, by what the sampler was seen to draw."""
        from genbench.noise import Streams, derive

        rows = range(start, start + batch)
        noise = self._recorded(Streams(derive(0, "latency"), rows, self.device))
        for law, shape in self.job.draws:
            getattr(noise, law)(*shape)
        return noise

    def _tensors(self, batch: int) -> list[list[Tensor]]:
        if batch not in self._noises:
            import math

            from genbench.speed import memory

            count = 2 if batch <= _KEPT else 1
            needed = count * batch * sum(4 * math.prod(shape) for _, shape in self.job.draws)
            self._noises.clear()
            if needed * _MARGIN > (free := memory.available(self.device)):
                raise Full(f"its noise alone takes {needed / 2**30:.2g} GiB, {free / 2**30:.2g} GiB are free")
            self._noises[batch] = [self._noise(batch, index * batch).tensors for index in range(count)]
        return self._noises[batch]

    def _call(self, batch: int) -> Callable[[int], object]:
        tensors, prepared = self._tensors(batch), self.prepared
        return lambda index: prepared(tensors[index % len(tensors)])

    def block(self, batch: int, runs: int) -> dict[str, Any]:
        opening = batch not in self._typical or short(self._typical[batch])
        block = timed(
            self._call(batch),
            runs,
            opening=opening,
            synchronize=self._synchronize,
            device=self._events if self.device.type == "cuda" else None,
        )
        self._typical[batch] = sorted(block.wall)[runs // 2]
        return {"wall": block.wall, "device": block.device, "spent": block.spent}

    def _events(self, call: Callable[[], object]) -> Callable[[], float]:
        import torch

        first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        first.record()
        call()
        last.record()
        return lambda: first.elapsed_time(last) / 1000.0

    def gate(self) -> dict[str, Any]:
        import math

        from genbench.speed import parity

        given = parity.noises(self.model, device=self.device)
        verdict = parity.gate(self.model, self.prepared, given, step=self.prepared.step)
        figures = {figure.name: figure.value for figure in verdict.figures if math.isfinite(figure.value)}
        return {"ok": verdict.ok, "reason": verdict.reason, "figures": figures}

    def memory(self, batch: int, base: int | None) -> dict[str, float]:
        from genbench.speed import memory

        call = self._call(batch)
        return memory.watched(lambda: [call(index) for index in range(3)], self.device, base)

    def explain(self) -> str | None:
        """On what the backend spends its time at batch 1, in words."""
        return self.prepared.explain(self._tensors(1)[0]) if self.prepared.explain else None

    def energy(self, batch: int, seconds: float) -> float | None:
        """Joules an image that the whole GPU takes while it samples; None where it does not tell."""
        from genbench.speed import nvml

        call, calls = self._call(batch), 0
        if (before := nvml.joules(self.device)) is None:
            return None
        started = time.perf_counter()
        while time.perf_counter() - started < seconds:
            call(calls)
            self._synchronize()
            calls += 1
        after = nvml.joules(self.device)
        return None if after is None else (after - before) / (calls * batch)


def _surroundings(device: torch.device) -> dict[str, Any]:
    """What can slow a machine down or speed it up beside what it is."""
    from importlib.metadata import PackageNotFoundError, version
    from pathlib import Path

    governor = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    found: dict[str, Any] = {
        "governor": governor.read_text(encoding="ascii").strip() if governor.exists() else None,
        "load_average": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "affinity": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS"),
    }
    for package in ("onnxruntime", "onnxruntime-gpu", "triton"):
        with contextlib.suppress(PackageNotFoundError):
            found[package] = version(package)
    if device.type == "cuda":
        import torch

        found["tf32"] = bool(torch.backends.cudnn.allow_tf32)
    return found


def _answer(work: Callable[[str], Any], line: str) -> dict[str, Any]:
    try:
        return {"answer": work(line)}
    except Unavailable as reason:
        return {"unavailable": str(reason)}
    except Refused as reason:
        return {"refused": str(reason)}
    except Full as reason:
        return {"full": str(reason)}
    except Exception as error:  # a backend may raise anything
        words = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        hungry = isinstance(error, MemoryError) or any(w in words.lower() for w in ("out of memory", "allocate"))
        return {"full" if hungry else "failed": words}


def _serve() -> None:
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    child: _Child | None = None

    def start(line: str) -> dict[str, Any]:
        nonlocal child
        child = _Child(msgspec.json.decode(line, type=Job))
        return child.ready

    def do(line: str) -> Any:
        request = json.loads(line)
        return getattr(child, request.pop("do"))(**request)

    for line in sys.stdin:
        found = _answer(start if child is None else do, line)
        print(json.dumps(found), file=out, flush=True)
        if child is None:
            return


if __name__ == "__main__":
    _serve()
