"""An implementation in a process of its own: foreign code may print, hang, or take the interpreter down with it.

The child is this module run as a program. It reads a case's id a line, and writes an outcome a line as JSON, to what
was its standard output; whatever the implementation prints goes nowhere.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from dataclasses import asdict

from genbench.conformance.cases import Case, all_cases, answers
from genbench.conformance.run import TIMEOUT, Outcome, implementation, run_case
from genbench.errors import Refused, Unavailable

_START = 120.0  # seconds that an implementation may take to be imported
_PATIENCE = 10.0  # seconds for a process to end by itself
_ENDED = "the process ended"


class _Child:
    """The running process, and a queue of the lines that it wrote; an empty line stands for its end."""

    def __init__(self, name: str, metric: str | None) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "genbench.conformance.isolation", name, metric or ""],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(["", *sys.path])},
        )
        self.lines: queue.Queue[str] = queue.Queue()
        self.listener = threading.Thread(target=self._listen, daemon=True)
        self.listener.start()
        first = json.loads(self.line(_START) or json.dumps({"refused": f"{name}: {_ENDED} while it was imported"}))
        if "refused" in first:
            self.end()
            raise (Unavailable if first.get("unavailable") else Refused)(first["refused"])

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.put(line)
        self.lines.put("")

    def line(self, timeout: float) -> str | None:
        """The next line, "" at the end of the process, None after the timeout."""
        try:
            return self.lines.get(timeout=timeout)
        except queue.Empty:
            return None

    def ask(self, case: Case, timeout: float) -> str | None:
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it is gone: its last line says so
            self.process.stdin.write(case.id + "\n")
            self.process.stdin.flush()
        return self.line(timeout)

    def end(self, patience: float = _PATIENCE) -> int:
        """Its exit status, after it ended by itself, as it does without input, or was killed."""
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()  # type: ignore[union-attr]
        try:
            status = self.process.wait(patience)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = self.process.wait()
        self.listener.join(timeout=1.0)  # a process that it forked may still hold the pipe
        self.process.stdout.close()  # type: ignore[union-attr]
        return status


def conform_apart(
    name: str, cases: Iterable[Case], metric: str | None = None, timeout: float = TIMEOUT
) -> Iterator[Outcome]:
    """An implementation on cases, in a process of its own; a new one after each case that took it down.

    Args:
        name, metric: as `genbench.conformance.run.implementation` takes them.
        timeout: seconds for a case.
    """
    child: _Child | None = None
    try:
        for case in cases:
            child = child or _Child(name, metric)
            line = child.ask(case, timeout)
            if line:
                yield Outcome(**json.loads(line))
                continue
            status = child.end(_PATIENCE if line == "" else 0.0)
            child = None
            reason = f"not done after {timeout:g} s" if line is None else f"{_ENDED}: {_cause(status)}"
            expected = answers()[case.id].value
            yield Outcome(
                case=case.id, implementation=name.partition("=")[0], verdict="crashed", expected=expected, reason=reason
            )
    finally:
        if child is not None:
            child.end()


def conform(
    names: Iterable[str], cases: Iterable[Case], metric: str | None = None, timeout: float = TIMEOUT
) -> Iterator[Outcome]:
    """Implementation after implementation on every case: ours in this process, all others apart."""
    wanted = list(cases)
    for name in names:
        if name == "genbench":
            ours = implementation(name)
            yield from (run_case(ours, case) for case in wanted)
        else:
            yield from conform_apart(name, wanted, metric, timeout)


def _cause(status: int) -> str:
    return signal.Signals(-status).name if status < 0 else f"exit status {status}"


def _serve(name: str, metric: str | None) -> None:
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    try:
        who = implementation(name, metric)
    except Refused as reason:
        first = {"refused": str(reason), "unavailable": isinstance(reason, Unavailable)}
    except BaseException as error:  # an import may do anything
        first = {"refused": f"{name} cannot be imported: {type(error).__name__}: {error}"}
    else:
        first = {}
    print(json.dumps(first), file=out, flush=True)
    cases = {case.id: case for case in all_cases()}
    for line in sys.stdin:
        print(json.dumps(asdict(run_case(who, cases[line.strip()]))), file=out, flush=True)


if __name__ == "__main__":
    _serve(sys.argv[1], sys.argv[2] or None)
