"""Named protocols: everything that a number depends on beside the samples, so that equal names mean equal numbers.

A protocol binds a metric to an extractor with its options and to the arguments of the metric's function. The part
behind the slash names whose convention it is: `fid/clean` is the number that clean-fid prints. What stands here is
what those implementations do by default, with these deviations: we accumulate in float64 throughout (clean-fid takes
the mean in float32), and no protocol adds anything to a covariance. A metric without a protocol is measured on the
dataset's own features with the defaults of its function.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from genbench.catalog import did_you_mean, resolve, shelf
from genbench.errors import Refused
from genbench.types import Metric

Value = str | int | float | bool


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """A metric under fixed conventions.

    `extractor` None stands for the dataset's own; `options` go to the extractor, `arguments` to the metric.
    """

    metric: str
    about: str
    extractor: str | None = None
    options: Mapping[str, Value] = field(default_factory=dict)
    arguments: Mapping[str, Value] = field(default_factory=dict)
    tap: str = "features"

    @property
    def words(self) -> str:
        """The arguments, as they stand in a measurement's protocol: `k=5,tie=<`."""
        return ",".join(f"{name}={value}" for name, value in sorted(self.arguments.items()))


def _inception(
    metric: str, preprocess: str, about: str, arguments: Mapping[str, Value] | None = None, tap: str = "2048"
) -> Protocol:
    return Protocol(
        metric=metric,
        about=about,
        extractor="inception",
        options={"preprocess": preprocess},
        arguments=arguments or {},
        tap=tap,
    )


_PRDC: dict[str, Value] = {"k": 5, "tie": "<", "count_self": False}
# Its neighbourhood of 3 is the fourth of the sorted distances, of which the first is that to the centre itself.
_COUNTS_SELF: dict[str, Value] = {"k": 4, "tie": "<=", "count_self": True}
_SPLITS: dict[str, Value] = {"splits": 10, "shuffle_seed": 2020}
_SUBSETS: dict[str, Value] = {"subsets": 100, "subset_size": 1000, "seed": 2020}

PROTOCOLS: dict[str, Protocol] = {
    "fid/ttur": _inception("fid", "ttur", "the original evaluation in TensorFlow; torch-fidelity", {"ddof": 1}),
    "fid/pytorch": _inception("fid", "pytorch", "pytorch-fid", {"ddof": 1}),
    "fid/clean": _inception("fid", "clean", "clean-fid, mode clean", {"ddof": 1}),
    "fid/stylegan": _inception("fid", "ttur", "StyleGAN2-ADA and its successors", {"ddof": 0}),
    "fid/random-vgg16": Protocol(
        metric="fid", about="features of a randomly initialised VGG16", extractor="random-vgg16"
    ),
    "fid/dinov2": Protocol(metric="fid", about="FD-DINOv2 (Stein and others, 2023)", extractor="dinov2"),
    "sfid/adm": _inception("sfid", "ttur", "the evaluation of guided diffusion (ADM)", {"ddof": 1}, tap="spatial"),
    "kid/torch-fidelity": _inception("kid", "ttur", "torch-fidelity: 100 subsets of 1000", _SUBSETS),
    "kid/exact": _inception("kid", "ttur", "one pass over all pairs: no noise of subsets"),
    "cmmd/clip": Protocol(metric="cmmd", about="CMMD (Jayasumana and others, 2024)", extractor="clip"),
    "inception_score/torch-fidelity": _inception(
        "inception_score", "ttur", "torch-fidelity: 10 splits of a shuffle", _SPLITS, tap="logits"
    ),
    "precision/prdc": Protocol(metric="precision", about="prdc, with 5 neighbours", arguments=_PRDC),
    "recall/prdc": Protocol(metric="recall", about="prdc, with 5 neighbours", arguments=_PRDC),
    "density/prdc": Protocol(metric="density", about="prdc, with 5 neighbours", arguments=_PRDC),
    "coverage/prdc": Protocol(metric="coverage", about="prdc, with 5 neighbours", arguments=_PRDC),
    "precision/torch-fidelity": Protocol(
        metric="precision", about="torch-fidelity's rule of ties, on the dataset's own features", arguments=_COUNTS_SELF
    ),
    "recall/torch-fidelity": Protocol(
        metric="recall", about="torch-fidelity's rule of ties, on the dataset's own features", arguments=_COUNTS_SELF
    ),
}


def of_metric(name: str) -> list[str]:
    """The protocols of a metric."""
    return [key for key, protocol in PROTOCOLS.items() if protocol.metric == name]


def find(name: str) -> tuple[Metric, Protocol]:
    """A metric by its name (on the dataset's own features), by a protocol's name, or as `module:attribute`.

    Returns:
        the metric with the protocol's arguments bound, and the protocol.
    """
    if "/" not in name:
        return resolve("metrics", name), Protocol(metric=name, about="")
    if name not in PROTOCOLS:
        head = name.partition("/")[0]
        there = of_metric(head) if head in shelf("metrics") else list(PROTOCOLS)
        raise Refused(f"unknown protocol {name!r}{did_you_mean(name, there or PROTOCOLS)}")
    protocol = PROTOCOLS[name]
    return resolve("metrics", protocol.metric).bound(**protocol.arguments), protocol
