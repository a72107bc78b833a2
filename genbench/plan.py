"""A suite becomes cells; a cell knows the keys of what it will make.

The key of the weights hashes all that can change them: code, configuration, recipe, data, seed, device class, torch.
Fields that only the sampler reads are not among them: the samplers of a model share one training. The key of the record
hashes that, those fields and all that can change the measurements. Notes, names of suites and times are in
neither, so that two suites that ask for the same cell share it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import msgspec
import torch

from genbench import catalog, construct, protocols, provenance
from genbench.suite import Settings, Suite, only, split_label
from genbench.types import Dataset, Model, Recipe, Refused, sampling_only

REAL = "real"  # the reference row of every dataset: training images, measured as if they were samples


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One model on one dataset under one training seed."""

    data: Dataset
    data_name: str
    model: str  # the label: a name, with overrides or a sampler in brackets
    seed: int
    settings: Settings
    config: Any = None  # the model's configuration; None for the reference row
    recipe: Recipe | None = None
    device: str = "cpu"

    def __str__(self) -> str:
        return f"{self.data_name} / {self.model} / seed {self.seed}"

    @property
    def name(self) -> str:
        """The model's name without the brackets."""
        return split_label(self.model).name

    @cached_property
    def model_class(self) -> type[Model]:
        return construct.model_class(self.name)

    @cached_property
    def plain_config(self) -> dict[str, Any]:
        return {} if self.config is None else plain(self.config)

    @cached_property
    def sampling(self) -> dict[str, Any]:
        """The part of the configuration that only the sampler reads."""
        return {} if self.config is None else {name: self.plain_config[name] for name in sampling_only(self.config)}

    @cached_property
    def code(self) -> str:
        """Digest of the sources that define the model, a model that its configuration names, and the training."""
        if self.config is None:
            return provenance.code_digest([])
        named = [v.partition(":")[0] for v in self.plain_config.values() if isinstance(v, str) and ":" in v]
        return provenance.code_digest([self.model_class.__module__, "genbench.train", "genbench.construct", *named])

    @cached_property
    def weights_key(self) -> str:
        spec = self.data.spec
        return provenance.digest({
            "model": None if self.config is None else catalog.reference("models", self.name),
            "config": {name: value for name, value in self.plain_config.items() if name not in self.sampling},
            "recipe": self.recipe and plain(self.recipe),
            "code": self.code,
            "data": [self.data.checksum("train"), list(spec.shape), spec.levels, spec.classes],
            "law": self.law_code,
            "seed": self.seed,
            "precision": self.settings.precision,
            "device": self.device.partition(":")[0],
            "torch": torch.__version__,
        })[:16]  # fmt: skip

    @cached_property
    def law_code(self) -> str | None:
        return provenance.code_digest([type(self.data.spec.law).__module__]) if self.data.spec.law else None

    @cached_property
    def key(self) -> str:
        names = self.settings.metrics or list(catalog.shelf("metrics"))
        metrics = [catalog.reference("metrics", protocols.find(name)[1].metric) for name in names]
        extractor = catalog.reference("extractors", self.data.extractor)
        measuring = ["genbench.run", extractor.partition(":")[0], *(m.partition(":")[0] for m in metrics)]
        return provenance.digest({
            "weights": self.weights_key,
            "sampling": self.sampling,
            "data": self.data.checksum("test"),
            "samples": self.settings.samples,
            "likelihood_images": self.settings.likelihood_images,
            "metrics": self.settings.metrics,
            "code": provenance.code_digest(measuring),
        })[:16]  # fmt: skip


@dataclass
class Plan:
    """What will run, and what will not, with the reason."""

    cells: list[Cell] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)


def plain(settings: Any) -> dict[str, Any]:
    """A frozen dataclass as the plain content that JSON gives back: lists, not tuples."""
    return msgspec.json.decode(msgspec.json.encode(asdict(settings)))


def plan(
    suite: Suite,
    *,
    models: Sequence[str] = (),
    datasets: Sequence[str] = (),
    device: str = "cpu",
    root: str | None = None,
    download: bool = False,
) -> Plan:
    """Expands a suite. All names and fields are checked here, before anything runs.

    A model that cannot serve a dataset is skipped with its own reason. Every dataset starts with its reference row.

    Args:
        models, datasets: these alone, as in `suite.only`; none leaves the suite's own.
    """
    _check_sections(suite, models)
    suite = only(suite, models, datasets)
    provenance.commit()  # asked now: while hours go by the checkout may move on, and the code that runs does not
    result, loaded, seen = Plan(), dict[str, Dataset](), set[str]()
    for group in suite.group:
        settings = suite.settings(group)
        _check_counts(settings)
        for data_name in group.datasets:
            if data_name not in loaded:
                loaded[data_name] = construct.dataset(data_name, root=root, download=download)
            for cell in _cells(suite, group.models, loaded[data_name], data_name, settings, device, result.skipped):
                # Hashing here, before anything runs, ties the key to the sources that have just been imported.
                if cell.key not in seen:
                    seen.add(cell.key)
                    result.cells.append(cell)
    return result


def _cells(
    suite: Suite,
    models: list[str],
    data: Dataset,
    data_name: str,
    settings: Settings,
    device: str,
    skipped: dict[str, str],
) -> Iterator[Cell]:
    yield Cell(data=data, data_name=data_name, model=REAL, seed=0, settings=settings, device=device)
    for label in models:
        name = split_label(label).name
        if reason := construct.model_class(name).supports(data.spec):
            skipped[f"{data_name} / {label}"] = reason
            continue
        config = construct.configured(label, data.spec, suite.config.get(name, {}))
        recipe = construct.recipe(name, data.spec, settings.budget, suite.recipe.get(name, {}))
        for seed in suite.seeds:
            yield Cell(
                data=data,
                data_name=data_name,
                model=label,
                seed=seed,
                settings=settings,
                config=config,
                recipe=recipe,
                device=device,
            )


def _check_counts(settings: Settings) -> None:
    """Too few samples for a metric are refused before hours are spent on them."""
    for name in settings.metrics or catalog.shelf("metrics"):
        metric, _ = protocols.find(name)
        on_model = metric.needs in ("nats", "bits", "densities", "pairs")
        field = "likelihood_images" if on_model else "samples"
        if (given := getattr(settings, field)) < metric.min_samples:
            raise Refused(f"{field} = {given} is too few: {name} needs at least {metric.min_samples}")


def _check_sections(suite: Suite, models: Sequence[str]) -> None:
    """A `[config.X]` for a model that neither the suite has nor anybody asks for is a misspelling, not a wish."""
    names = {split_label(label).name for label in (*models, *(m for group in suite.group for m in group.models))}
    for section, content in (("config", suite.config), ("recipe", suite.recipe)):
        for name in content:
            if name not in names:
                raise Refused(
                    f"[{section}.{name}]: the suite runs no model {name!r}{catalog.did_you_mean(name, names)}"
                )
