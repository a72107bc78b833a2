"""A sampler, its step or its likelihood as an ONNX graph that needs nothing of genbench to run.

The whole sampler becomes one graph: what it drew from its noise are the graph's inputs, a loop written with
`genbench.noise.fold` is a Scan, so that a thousand steps do not unroll. The batch is dynamic. The graph carries its
own description in the metadata: of which model and weights it is, what to feed into it.
"""

from __future__ import annotations

import copy
import json
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

import genbench
from genbench import files, provenance
from genbench.errors import Unavailable
from genbench.noise import Draw, Noise, Streams, watch_folds
from genbench.types import Model

if TYPE_CHECKING:
    import onnx

Exportable = Literal["sampler", "step", "log_prob"]

STAGES = ("trace", "convert", "check", "write")
MOST_CALLS = 16  # of the network in a loop that would unroll: beyond, the graph takes minutes to make and to load
MOST_OPERATIONS = 800  # of a likelihood, whose loops are not folds: an exporter takes up to 100 ms for each
_STRUCTURED = {"config", "nfe", "opset", "data", "inputs", "outputs"}  # metadata in JSON
_BATCH = 3  # of the example: 0 and 1 are special cases to a tracer


@dataclass(frozen=True)
class Input:
    """One input of the graph, and which recorded draws it is made of.

    `law` is "normal" or "uniform" for noise and None for data; `shape` has "n" for the batch. Draws of a loop are
    stacked along a first axis: draws number `first`, `first + stride`, ..., `count` of them; with `count` None the
    one draw number `first` as it is.
    """

    name: str
    law: Literal["normal", "uniform"] | None
    shape: tuple[int | str, ...]
    first: int = 0
    count: int | None = None
    stride: int = 1

    def take(self, tensors: Sequence[Tensor]) -> Tensor:
        """This input from recorded draws."""
        if self.count is None:
            return tensors[self.first]
        return torch.stack(list(tensors[self.first : self.first + self.count * self.stride : self.stride]))


@dataclass(frozen=True)
class Graph:
    """An exported model and what it is fed."""

    proto: onnx.ModelProto
    inputs: tuple[Input, ...]
    outputs: tuple[str, ...]

    def facts(self) -> dict[str, Any]:
        """What the metadata say, as plain values; names without `genbench.`."""
        found = {entry.key.removeprefix("genbench."): entry.value for entry in self.proto.metadata_props}
        return {key: json.loads(value) if key in _STRUCTURED else value for key, value in found.items()}


def export(
    model: Model, path: Path, unit: Exportable = "sampler", say: Callable[[str], None] = lambda _: None
) -> Graph:
    """Writes a checked ONNX file, whole or not at all.

    Args:
        unit: the whole sampler, one step of it, or the likelihood.
        say: is told each of the `STAGES` as it begins.

    Returns:
        What was written. `Unavailable` says why a model cannot be exported.
    """
    graph = to_graph(model, unit, say)
    say("write")
    files.write(path, graph.proto.SerializeToString())
    return graph


def to_graph(model: Model, unit: Exportable = "sampler", say: Callable[[str], None] = lambda _: None) -> Graph:
    """The checked ONNX graph of a model, on the CPU and in float32."""
    from onnx import checker, shape_inference

    model = copy.deepcopy(model).cpu().float().eval().requires_grad_(False)
    say("trace")
    plan = {"sampler": _sampler, "step": _step, "log_prob": _log_prob}[unit](model)
    what = f"{type(model).__name__} cannot be exported as {unit}"
    axes = tuple(_axes(entry.shape) for entry in plan.inputs)
    with _quiet(), torch.no_grad():
        try:
            program = torch.export.export(plan.module, plan.example, dynamic_shapes=(axes,), strict=False)
            say("convert")
            converted = torch.onnx.export(
                program,
                dynamo=True,
                verbose=False,
                input_names=[entry.name for entry in plan.inputs],
                output_names=list(plan.outputs),
            )
        except Exception as error:  # the exporter raises whatever it stumbles over
            raise Unavailable(f"{what}: {_cause(error)}") from error
    assert converted is not None
    say("check")
    proto = _bare(converted.model_proto)
    _describe(proto, model, unit, plan)
    try:
        proto = shape_inference.infer_shapes(proto, check_type=True, strict_mode=True)
        checker.check_model(proto, full_check=True)
    except Exception as error:
        raise Unavailable(f"{what}: the graph does not hold: {_cause(error)}") from error
    return Graph(proto, plan.inputs, plan.outputs)


@dataclass(frozen=True)
class _Plan:
    """What is traced: a module that takes the tensors of the inputs in order."""

    module: nn.Module
    example: tuple[Tensor, ...]
    inputs: tuple[Input, ...]
    outputs: tuple[str, ...]


def _axes(shape: tuple[int | str, ...]) -> dict[int, Any]:
    return {axis: torch.export.Dim("n") for axis, size in enumerate(shape) if size == "n"}


class _Survey:
    """Noise that writes down what is asked of it, draw by draw, and which draws a loop takes together."""

    def __init__(self, source: Noise) -> None:
        self.n, self.device = source.n, source.device
        self.inputs: list[Input] = []
        self.tensors: list[Tensor] = []
        self._source, self._draws = source, 0

    def _keep(self, law: Any, shape: tuple[int, ...], drawn: Tensor) -> Tensor:
        name = f"{law}_{len(self.inputs)}"
        self.inputs.append(Input(name, law, ("n", *shape), self._draws))
        self.tensors.append(drawn)
        self._draws += 1
        return drawn

    def normal(self, *shape: int) -> Tensor:
        return self._keep("normal", shape, self._source.normal(*shape))

    def uniform(self, *shape: int) -> Tensor:
        return self._keep("uniform", shape, self._source.uniform(*shape))

    def stacked(self, steps: int, draws: Sequence[Draw]) -> tuple[Tensor, ...]:
        parts = [[getattr(self._source, law)(*shape) for law, shape in draws] for _ in range(steps)]
        found = tuple(torch.stack(column) for column in zip(*parts, strict=True)) if draws else ()
        for place, (law, shape) in enumerate(draws):
            name = f"{law}_{len(self.inputs)}"
            entry = Input(name, law, (steps, "n", *shape), self._draws + place, steps, len(draws))
            self.inputs.append(entry)
            self.tensors.append(found[place])
        self._draws += steps * len(draws)
        return found


class _Given:
    """Noise that hands back what a survey wrote down; under the exporter these are the graph's inputs."""

    def __init__(self, tensors: Sequence[Tensor], n: int) -> None:
        self.n, self.device = n, torch.device("cpu")
        self._tensors = iter(tensors)

    def normal(self, *shape: int) -> Tensor:
        return next(self._tensors)

    def uniform(self, *shape: int) -> Tensor:
        return next(self._tensors)

    def stacked(self, steps: int, draws: Sequence[Draw]) -> tuple[Tensor, ...]:
        return tuple(next(self._tensors) for _ in draws)


class _Count(TorchDispatchMode):
    """Counts the operations that run inside."""

    def __init__(self) -> None:
        super().__init__()
        self.operations = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.operations += 1
        return func(*args, **(kwargs or {}))


class _Sampler(nn.Module):
    """A sampler as a function of its noise. Where it has a step, its module is made once, before the tracing."""

    def __init__(self, model: Model, batch_axis: int) -> None:
        super().__init__()
        self.model, self.batch_axis = model, batch_axis
        self.unit = model.step()
        self.module = self.unit.module.eval().requires_grad_(False) if self.unit else None

    def forward(self, *tensors: Tensor) -> Tensor:
        noise = _Given(tensors, tensors[0].shape[self.batch_axis])
        return self.unit.drive(self.module, noise) if self.unit and self.module else self.model.sample(noise)


class _LogProb(nn.Module):
    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = model

    def forward(self, *tensors: Tensor) -> Tensor:
        x, *noise = tensors
        return self.model.log_prob(x, _Given(noise, x.shape[0]))


class _Module(nn.Module):
    """A step under one signature with the others: any number of tensors."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, *tensors: Tensor) -> Any:
        return self.module(*tensors)


def _sampler(model: Model) -> _Plan:
    survey = _Survey(Streams(0, range(_BATCH)))
    with torch.no_grad(), watch_folds() as folds:
        model.sample(survey)
    if not folds and (model.nfe is None or model.nfe > MOST_CALLS):
        raise Unavailable(
            f"{type(model).__name__} cannot be exported as sampler: its loop would unroll to {model.nfe or 'many'} "
            "copies of the network; its step can be exported"
        )
    if not survey.inputs:
        raise Unavailable(f"{type(model).__name__} cannot be exported as sampler: it draws no noise")
    axis = survey.inputs[0].shape.index("n")
    output = "images" if model.data.is_image else "points"
    return _Plan(_Sampler(model, axis), tuple(survey.tensors), tuple(survey.inputs), (output,))


def _log_prob(model: Model) -> _Plan:
    if model.likelihood is None:
        raise Unavailable(f"{type(model).__name__} cannot be exported as log_prob: it defines no likelihood")
    dtype = torch.uint8 if model.data.is_image else torch.float32
    x = torch.zeros(_BATCH, *model.data.shape, dtype=dtype)
    survey = _Survey(Streams(0, range(_BATCH)))
    with torch.no_grad():
        model.log_prob(x, survey)  # what a model computes once for its weights is computed now
    again = _Given(survey.tensors, _BATCH)
    with torch.no_grad(), _Count() as count:
        model.log_prob(x, again)
    if count.operations > MOST_OPERATIONS:
        raise Unavailable(
            f"{type(model).__name__} cannot be exported as log_prob: it takes {count.operations:,} operations, more "
            f"than the {MOST_OPERATIONS:,} that a graph may hold"
        )
    inputs = (Input("x", None, ("n", *model.data.shape)), *survey.inputs)
    return _Plan(_LogProb(model), (x, *survey.tensors), inputs, ("nats",))


def _step(model: Model) -> _Plan:
    if (unit := model.step()) is None:
        raise Unavailable(
            f"{type(model).__name__} cannot be exported as step: its sampler is one shot, which is exported as sampler"
        )
    example = tuple(tensor.detach().cpu() for tensor in unit.example(_BATCH))
    inputs = []
    for name, here, other in zip(unit.inputs, example, unit.example(_BATCH + 1), strict=True):
        sizes = zip(here.shape, other.shape, strict=True)
        inputs.append(Input(name, None, tuple("n" if a != b else a for a, b in sizes)))
    return _Plan(_Module(unit.module.eval().requires_grad_(False)), example, tuple(inputs), unit.outputs)


def _describe(proto: onnx.ModelProto, model: Model, unit: Exportable, plan: _Plan) -> None:
    """What the graph is, in its metadata: names under `genbench.`, values in JSON where they have structure."""
    data = model.data
    facts = {
        "version": genbench.__version__,
        "model": f"{type(model).__module__}:{type(model).__qualname__}",
        "config": json.dumps(asdict(model.config)),
        "weights": provenance.weights_digest(model.state_dict()),
        "unit": unit,
        "nfe": json.dumps(model.nfe),
        "opset": json.dumps(next(entry.version for entry in proto.opset_import if not entry.domain)),
        "data": json.dumps({"shape": data.shape, "levels": data.levels, "classes": data.classes}),
        "inputs": json.dumps([{"name": e.name, "law": e.law, "shape": e.shape} for e in plan.inputs]),
        "outputs": json.dumps(plan.outputs),
    }
    proto.producer_name, proto.producer_version = "genbench", genbench.__version__
    for key, value in facts.items():
        proto.metadata_props.add(key=f"genbench.{key}", value=value)


def _bare(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The graph without the exporter's remarks, among them the paths of source files on this machine."""

    def graphs(graph: Any) -> Iterator[Any]:
        yield graph
        for node in graph.node:
            for attribute in node.attribute:
                for inner in (attribute.g, *attribute.graphs):
                    if inner.node:
                        yield from graphs(inner)

    proto.doc_string = ""
    del proto.metadata_props[:]
    for graph in (*graphs(proto.graph), *(g for function in proto.functions for g in graphs(function))):
        graph.doc_string = ""
        del graph.metadata_props[:]
        values = [getattr(graph, name, ()) for name in ("node", "input", "output", "value_info", "initializer")]
        for entry in (entry for group in values for entry in group if not isinstance(entry, str)):
            entry.doc_string = ""
            del entry.metadata_props[:]
    return proto


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter's warnings speak of its own insides."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


def _cause(error: BaseException) -> str:
    """The first telling line of the innermost error."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__
