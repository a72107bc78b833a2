"""The cell that a stranger's record says it is of; what the record names is checked before that is imported."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec
import torch

from genbench import catalog, construct, protocols
from genbench.errors import Refused
from genbench.plan import REAL, Cell, plain
from genbench.record import Record
from genbench.suite import Settings, split_label
from genbench.types import Dataset, Metric

REAL_ROWS = "genbench.run:real_rows"
_DEVICES = ("cpu", "cuda", "mps")
_SHELVES: tuple[catalog.Shelf, ...] = ("models", "datasets", "metrics", "extractors")


def cell_of(
    one: Record,
    *,
    trust_code: bool = False,
    device: str | None = None,
    dataset: str | None = None,
    root: str | None = None,
    download: bool = False,
) -> Cell:
    """The cell that a record says it is of; what the record names is checked before that is imported.

    Args:
        trust_code: imports what the record names, though no catalog does.
        device: instead of the kind that the record was made on.
        dataset: the name of the data, where a record does not hold it: `folder:PATH`.
    """
    _check_reproducible(one)
    _check_trusted(one, trust_code, dataset)
    kind = _device(one, device)
    settings = _settings(one)
    name = dataset or _named("datasets", one.dataset.label, one.dataset.reference)
    try:
        data = construct.dataset(name, root=root, download=download)
    except TypeError as error:
        raise Refused(f"{name} is no dataset: {error}") from error
    _check_data(one, data)
    if one.model.reference == REAL_ROWS:
        return Cell(data=data, data_name=name, model=REAL, seed=0, settings=settings, device=kind)
    model = _named("models", one.model.label, one.model.reference)
    chosen = construct.model_class(split_label(model).name)
    if reason := chosen.supports(data.spec):
        raise Refused(f"{model} cannot serve {name}: {reason}")
    own = chosen.Config.for_data(data.spec)  # type: ignore[attr-defined]
    config = construct.override(own, one.model.config, f"the configuration of {model}")
    if not trust_code:
        _check_texts(one, config, own)
    recipe = construct.override(chosen.recipe(data.spec), dict(one.model.recipe), f"the recipe of {model}")
    return Cell(
        data=data,
        data_name=name,
        model=model,
        seed=one.seeds["train"],
        settings=settings,
        config=config,
        recipe=recipe,
        device=kind,
    )


def _check_reproducible(one: Record) -> None:
    """Only what `genbench run` wrote is a cell; the rest says how it is made again."""
    if one.settings.get("measured") in ("speed", "sweep"):
        raise Refused(f"{one.key} is a measurement of speed; `genbench speed` measures it again, `compare` compares")
    if one.model.family == "pathology":
        raise Refused(f"{one.key} is damaged real data; `genbench stress` makes it again")
    seeds = {name: one.seeds.get(name) for name in ("train", "sample", "evaluate")}
    train = seeds["train"]
    if seeds["sample"] != 0 or seeds["evaluate"] != 0 or train is None or not 0 <= train < 2**32:
        raise Refused(f"{one.key} has the seeds {seeds}; a cell has train from 0 to 2^32 - 1, sample 0 and evaluate 0")
    if one.model.reference != REAL_ROWS and not one.model.recipe:
        raise Refused(f"{one.key} names no recipe: it is no record of a training")


def _check_trusted(one: Record, trust_code: bool, dataset: str | None) -> None:
    """A reference is an import: what no catalog names runs only where somebody says so."""
    asked: list[tuple[catalog.Shelf, str]] = [("models", text) for text in _texts(one.model.config) if ":" in text]
    if one.model.reference != REAL_ROWS:
        asked.append(("models", one.model.reference))
    if dataset is None:
        asked.append(("datasets", one.dataset.reference))
    asked += [("metrics", name) for name in _metrics(one) or () if ":" in name]
    for shelf, text in asked:
        if text in catalog.shelf(shelf).values():
            continue
        if other := next((other for other in _SHELVES if text in catalog.shelf(other).values()), None):
            raise Refused(f"{one.key} names {text!r} among its {shelf}, which is one of the {other}")
        if not trust_code:
            raise Refused(_untrusted(one, text))


def _untrusted(one: Record, text: str) -> str:
    return (
        f"{one.key} names {text[:200]!r}, which no catalog does: to run it is to run its author's code; "
        "--trust-code does"
    )


def _check_texts(one: Record, config: Any, own: Any) -> None:
    """A text that its field's type does not list may name a model, or a file: it is the catalog's, or what it would be.

    Args:
        own: the configuration that the model itself chooses.
    """
    hints, usual = get_type_hints(type(config)), plain(own)
    models = catalog.shelf("models").values()
    for name, value in plain(config).items():
        known = {*_texts(usual[name]), *_choices(hints[name]), *models}
        for text in _texts(value):
            if text not in known:
                raise Refused(_untrusted(one, text))


def _texts(value: Any) -> Iterator[str]:
    """Every text in plain content, names of entries included."""
    if isinstance(value, str):
        yield value
    children = [*value, *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else ()
    for child in children:
        yield from _texts(child)


def _choices(hint: Any) -> set[Any]:
    """What the literals in a type list."""
    inside = get_args(hint)
    return set(inside) if get_origin(hint) is Literal else {choice for part in inside for choice in _choices(part)}


def _device(one: Record, chosen: str | None) -> str:
    """The kind of device that the record was made on, or the one that was chosen instead."""
    kind = chosen or one.environment.get("device", "cpu")
    head = str(kind).partition(":")[0]
    if head not in _DEVICES or not (chosen or kind == head):
        raise Refused(f"{one.key} was made on the device {kind!r}; a device is one of {', '.join(_DEVICES)}")
    if not {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}[head]:
        raise Refused(f"{one.key} needs a {head} device, which is not here; --device cpu compares within intervals")
    return str(kind)


def _named(shelf: catalog.Shelf, label: str, reference: str) -> str:
    """The name that gives a reference: its label where the catalog has it so, else the reference itself."""
    head = split_label(label).name
    known = catalog.shelf(shelf).get(head)
    if known is not None and known != reference:
        raise Refused(f"the record calls {reference} {head}, which is {known}")
    if known is not None:
        if shelf == "datasets" and head in catalog.WITH_ARGUMENT:
            raise Refused(f"a record does not say where its {head} lies; --dataset {head}:PATH does")
        return label
    return reference


def _check_data(one: Record, data: Dataset) -> None:
    """The same data: the same form, and for integer images the same bytes (points are rounded by each machine)."""
    spec = data.spec
    if (list(spec.shape), spec.levels, spec.classes) != (one.dataset.shape, one.dataset.levels, one.dataset.classes):
        raise Refused(f"{data.name} is {spec}; the record's data has another form")
    if spec.is_image and (changed := changed_splits(one, data)):
        raise Refused(f"{data.name} is not the record's data: the checksum of {changed[0]} differs")


def changed_splits(one: Record, data: Dataset) -> list[str]:
    splits = ("train", "validation", "test")
    return [split for split in splits if data.checksum(split) != one.dataset.checksums.get(split)]  # type: ignore[arg-type]


def _metrics(one: Record) -> list[str] | None:
    """The names that the record says were asked for; None where it was all of the catalog."""
    if "metrics" not in one.settings:
        return None
    metrics = one.settings["metrics"]
    if not isinstance(metrics, str) or not metrics.split():
        raise Refused(f"the settings of {one.key} are none: metrics is {metrics!r}, not a list of names")
    return metrics.split()


def _settings(one: Record) -> Settings:
    names = ("samples", "likelihood_images", "precision")
    asked: dict[str, Any] = {name: one.settings[name] for name in names if name in one.settings}
    asked["metrics"] = _metrics(one)
    for name in asked["metrics"] or ():
        if not isinstance(protocols.find(name)[0], Metric):
            raise Refused(f"{one.key} names {name!r} among its metrics, which is none")
    try:
        return msgspec.convert(asked, Settings)
    except msgspec.ValidationError as error:
        raise Refused(f"the settings of {one.key} are none: {error}") from None
