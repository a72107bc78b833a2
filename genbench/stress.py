"""Controlled damage to real data: what does each metric notice, at which dose, and in which direction?

Real images that nobody trained on stand in for a model's samples. A pathology damages them at rising doses; every dose
is measured like a model and written as a record, the undamaged samples as dose 0. `leaderboard.pathology` turns the
records into the matrix metric x pathology.

Symbols: P the pool of real images with labels, disjoint from the training set and from the reference; n samples.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import torch
import torch.nn.functional as F
from torch import Tensor

from genbench import catalog, images, provenance
from genbench.errors import Refused
from genbench.evaluate import evaluate
from genbench.files import locked, sha256
from genbench.images import from_unit, to_unit
from genbench.noise import derive
from genbench.progress import Bar
from genbench.record import SCHEMA, Asset, Cost, DatasetRun, ModelRun, Record
from genbench.run import dataset_run
from genbench.store import Store
from genbench.types import Dataset

FAMILY = "pathology"
NONE = "none"
DATASETS = ("digits", "glyphs")
_MOST_SAMPLES = 1000
_MOST_REFERENCES = 2000
_LEAST = 40  # samples that every metric accepts


@dataclass(frozen=True)
class Ward:
    """What a pathology may work with: the pool with its labels, the training images, how many samples, the levels."""

    pool: Tensor
    labels: Tensor
    train: Tensor
    n: int
    levels: int
    generator: torch.Generator

    @property
    def healthy(self) -> Tensor:
        """The first n images of the pool."""
        return self.pool[: self.n]

    def pick(self, count: int) -> Tensor:
        """Which of the n samples are damaged, without repetition."""
        return torch.randperm(self.n, generator=self.generator)[:count]


@dataclass(frozen=True)
class Pathology:
    """Damage at a dose, the doses in rising order, and the axis that suffers."""

    damage: Callable[[Ward, float], Tensor]
    doses: tuple[float, ...]
    axis: str
    about: str


def _replaced(ward: Ward, share: float, by: Callable[[Tensor], Tensor]) -> Tensor:
    """The healthy samples, a share of them replaced by what `by` makes of their rows."""
    x, rows = ward.healthy.clone(), ward.pick(round(share * ward.n))
    x[rows] = by(rows)
    return x


def noise(ward: Ward, dose: float) -> Tensor:
    """Every value is replaced by a random level with a probability."""
    x = ward.healthy
    hit = torch.rand(x.shape, generator=ward.generator) < dose
    levels = torch.randint(ward.levels, x.shape, generator=ward.generator, dtype=torch.uint8)
    return torch.where(hit, levels, x)


def blur(ward: Ward, dose: float) -> Tensor:
    """A Gaussian blur; the dose is its standard deviation in pixels."""
    x = to_unit(ward.healthy, ward.levels)
    reach = max(1, min(round(3 * dose), min(x.shape[-2:]) - 1))
    kernel = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / dose) ** 2)
    kernel /= kernel.sum()
    channels = x.shape[1]
    for shape, pad in (((1, 1, -1, 1), (0, 0, reach, reach)), ((1, 1, 1, -1), (reach, reach, 0, 0))):
        weight = kernel.reshape(shape).expand(channels, *[-1] * 3)
        x = F.conv2d(F.pad(x, pad, mode="replicate"), weight, groups=channels)
    return from_unit(x, ward.levels)


def drop_modes(ward: Ward, dose: float) -> Tensor:
    """The first classes are missing; the dose is how many."""
    return ward.pool[ward.labels >= dose][: ward.n]


def collapse_inside(ward: Ward, dose: float) -> Tensor:
    """A share of the samples is replaced by the one image of its class: classes stay even, variety goes."""
    first = torch.stack([ward.pool[ward.labels == c][0] for c in range(int(ward.labels.max()) + 1)])
    return _replaced(ward, dose, lambda rows: first[ward.labels[: ward.n][rows]])


def duplicate(ward: Ward, dose: float) -> Tensor:
    """Every image occurs several times; the dose is how often."""
    return ward.healthy[torch.arange(ward.n) // int(dose)]


def copy_train(ward: Ward, dose: float) -> Tensor:
    """A share of the samples is replaced by training images."""
    return _replaced(ward, dose, lambda rows: ward.train[rows % len(ward.train)])


def outliers(ward: Ward, dose: float) -> Tensor:
    """A share of the samples is replaced by uniform noise."""
    shape = ward.pool.shape[1:]
    return _replaced(
        ward,
        dose,
        lambda rows: torch.randint(ward.levels, (len(rows), *shape), generator=ward.generator, dtype=ward.pool.dtype),
    )


def imbalance(ward: Ward, dose: float) -> Tensor:
    """Class frequencies fall geometrically; the dose is the ratio of the most to the least frequent class."""
    classes = int(ward.labels.max()) + 1
    share = torch.logspace(0, -1, classes, base=dose, dtype=torch.float64)
    counts = (share / share.sum() * ward.n).floor().long()
    counts[0] += ward.n - counts.sum()
    rows = [torch.nonzero(ward.labels == c)[: int(counts[c]), 0] for c in range(classes)]
    return ward.pool[torch.cat(rows)]


def fewer(ward: Ward, dose: float) -> Tensor:
    """Nothing is wrong but the number of samples; the dose is what it is divided by."""
    return ward.healthy[: max(_LEAST, round(ward.n / dose))]


_SHARES = (0.05, 0.1, 0.25, 0.5, 1.0)
PATHOLOGIES = {
    "noise": Pathology(noise, (0.01, 0.03, 0.1, 0.3, 1.0), "quality", "values replaced by random ones: their share"),
    "blur": Pathology(blur, (0.4, 0.6, 0.8, 1.2, 2.0), "quality", "Gaussian blur: its width in pixels"),
    "outliers": Pathology(outliers, (0.01, 0.05, 0.1, 0.25, 0.5), "quality", "noise among the samples: its share"),
    "drop-modes": Pathology(drop_modes, (1, 2, 3, 4, 5), "diversity", "classes missing: how many"),
    "collapse-inside": Pathology(collapse_inside, _SHARES, "diversity", "one image per class: the share it replaces"),
    "duplicate": Pathology(duplicate, (2, 5, 10, 25), "diversity", "copies of each sample: how many"),
    "imbalance": Pathology(imbalance, (1.5, 2, 3, 5), "diversity", "most over least frequent class"),
    "copy-train": Pathology(copy_train, _SHARES, "memorization", "training images among the samples: their share"),
    "fewer": Pathology(fewer, (1.5, 2, 3, 5), "sample size", "fewer samples: by which factor"),
}


@dataclass(frozen=True)
class Case:
    """One dose of one pathology."""

    dataset: str
    pathology: str
    dose: float

    @property
    def label(self) -> str:
        return NONE if self.pathology == NONE else f"{self.pathology}={self.dose:g}"

    def __str__(self) -> str:
        return f"{self.dataset} / {self.label}"


def cases(datasets: Iterable[str] = DATASETS, pathologies: Iterable[str] | None = None) -> list[Case]:
    """All doses of the pathologies on the datasets, each dataset led by its undamaged samples."""
    names = list(pathologies or PATHOLOGIES)
    for name in names:
        if name not in PATHOLOGIES:
            raise Refused(f"unknown pathology {name!r}{catalog.did_you_mean(name, PATHOLOGIES)}")
    found = []
    for dataset in datasets:
        found.append(Case(dataset, NONE, 0.0))
        found += [Case(dataset, name, float(dose)) for name in names for dose in PATHOLOGIES[name].doses]
    return found


def divided(data: Dataset) -> tuple[Dataset, Tensor, Tensor]:
    """The dataset with two fifths of its training set left to be copied, and the rest as the pool of samples."""
    x, y = data.images("train"), data.labels("train")
    if y is None or data.spec.levels is None:
        raise Refused(f"stress needs images with labels; {data.name} has none (digits and glyphs have)")
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(derive(0, "stress") >> 1))
    cut = 2 * len(x) // 5
    kept = {**data.x, "train": x[order[:cut]], "test": data.images("test")[:_MOST_REFERENCES]}
    labels = {**data.y, "train": y[order[:cut]], "test": data.y["test"][:_MOST_REFERENCES]}
    return replace(data, x=kept, y=labels), x[order[cut:]], y[order[cut:]]


def samples_of(case: Case, data: Dataset, pool: Tensor, labels: Tensor) -> Tensor:
    """The damaged samples of a case; a pure function of it and of the data."""
    assert data.spec.levels is not None
    generator = torch.Generator().manual_seed(derive(0, case.label) >> 1)
    n = min(_MOST_SAMPLES, len(pool) // 2)
    ward = Ward(pool, labels, data.images("train"), n, data.spec.levels, generator)
    return ward.healthy if case.pathology == NONE else PATHOLOGIES[case.pathology].damage(ward, case.dose)


def stress(
    store: Store,
    *,
    datasets: Iterable[str] = DATASETS,
    pathologies: Iterable[str] | None = None,
    metrics: Iterable[str] | None = None,
    load: Callable[[str], Dataset],
    progress: bool = True,
) -> list[Record]:
    """Measures every case that has no record yet, and returns the records of all.

    Args:
        metrics: names of metrics or protocols; by default all that need no model.
        load: a dataset by its name.
    """
    names = sorted(metrics) if metrics is not None else measurable()
    wanted = cases(datasets, pathologies)
    return list(_records(store, wanted, names, load, progress))


def measurable() -> list[str]:
    """The metrics that samples alone can have: no likelihood, no reconstruction."""
    without = ("nats", "bits", "densities", "pairs", "spatial")
    return [name for name in catalog.shelf("metrics") if catalog.resolve("metrics", name).needs not in without]


def _records(
    store: Store, wanted: list[Case], names: list[str], load: Callable[[str], Dataset], progress: bool
) -> Iterator[Record]:
    parts: dict[str, tuple[Dataset, Tensor, Tensor]] = {}
    code = provenance.code_digest(
        [__name__, *(catalog.reference("metrics", name.partition("/")[0]).partition(":")[0] for name in names)]
    )
    with locked(store.root), Bar("stress", len(wanted), progress) as bar:
        for done, case in enumerate(wanted):
            bar.to(done, str(case))
            if case.dataset not in parts:
                parts[case.dataset] = divided(load(case.dataset))
            data, pool, labels = parts[case.dataset]
            key = provenance.digest({
                "case": [case.dataset, case.label],
                "data": [data.checksum("train"), data.checksum("test")],
                "metrics": names,
                "code": code,
            })[:16]  # fmt: skip
            if not store.has_record(key):
                x = samples_of(case, data, pool, labels)
                store.write_record(*_measured(case, key, code, x, data, names))
            yield store.read_record(key)


def _measured(
    case: Case, key: str, code: str, x: Tensor, data: Dataset, names: list[str]
) -> tuple[Record, dict[str, bytes]]:
    started = time.perf_counter()
    table = evaluate(x, data, metrics=names, progress=False)
    assert data.spec.levels is not None
    sheet = images.grid(x[:100], data.spec.levels)
    asset, file = images.png(sheet), f"{key}-samples.png"
    config = {} if case.pathology == NONE else {"pathology": case.pathology, "dose": case.dose}
    run: DatasetRun = dataset_run(data, case.dataset)
    found = Record(
        schema=SCHEMA,
        key=key,
        created=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        model=ModelRun(
            reference=f"{__name__}:PATHOLOGIES",
            label=case.label,
            family=FAMILY,
            likelihood=None,
            config=config,
            recipe={},
            code=code,
            weights=None,
            control=True,
        ),
        dataset=run,
        seeds={"train": 0, "sample": 0, "evaluate": 0},
        settings={"samples": len(x)},
        environment=provenance.environment(torch.device("cpu")),
        cost=Cost.of_measuring(time.perf_counter() - started),
        curves={},
        report={},
        measurements={m.name: m for m in table.values()},
        assets={"samples": Asset(file=file, sha256=sha256(asset), height=sheet.shape[0], width=sheet.shape[1])},
    )
    return found, {file: asset}
