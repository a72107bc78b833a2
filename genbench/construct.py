"""From names to things: a dataset by its name, a model by its name and the overrides of its configuration."""

from __future__ import annotations

import dataclasses
import inspect
from pathlib import Path
from typing import Any, get_type_hints

import msgspec
import torch

from genbench import catalog
from genbench.noise import derive
from genbench.suite import split_label
from genbench.types import Dataset, DataSpec, Model, Recipe, Refused


def dataset(name: str, *, root: Path | str | None = None, download: bool = False) -> Dataset:
    """A dataset by short name, `folder:PATH`, `npz:PATH` or `module:attribute`.

    Args:
        root: where files are looked for, for datasets that need files.
        download: fetches missing files, for datasets that can be fetched.
    """
    load = catalog.resolve("datasets", name)
    head, _, argument = name.partition(":")
    arguments = [argument] if head in catalog.WITH_ARGUMENT else []
    options = {"root": Path(root) if root else None, "download": download}
    taken = inspect.signature(load).parameters
    found = load(*arguments, **{key: value for key, value in options.items() if key in taken})
    if not isinstance(found, Dataset):
        raise Refused(f"{name!r} is a {type(found).__name__}, not a genbench.types.Dataset")
    return found


def model_class(name: str) -> type[Model]:
    """The class behind a model's name; refused when it is something else."""
    found = catalog.resolve("models", name)
    if not (isinstance(found, type) and issubclass(found, Model)):
        raise Refused(f"{name!r} is not a model: it must be a subclass of genbench.types.Model")
    return found


def override(settings: Any, overrides: dict[str, Any], what: str) -> Any:
    """A frozen dataclass with some fields replaced; an unknown field or a wrong type is refused in a sentence."""
    hints = get_type_hints(type(settings))
    known = {field.name: hints[field.name] for field in dataclasses.fields(settings)}
    checked = {}
    for name, value in overrides.items():
        if name not in known:
            raise Refused(f"{what} has no field {name!r}{catalog.did_you_mean(name, known)}")
        try:
            checked[name] = msgspec.convert(value, known[name], strict=not isinstance(value, str))
        except msgspec.ValidationError as error:
            raise Refused(f"{what}: {name}={value!r} is not valid: {error}") from None
    try:
        return dataclasses.replace(settings, **checked)
    except ValueError as error:
        raise Refused(f"{what}: {error}") from None


def build(model: str, data: DataSpec, *, seed: int = 0, **overrides: Any) -> Model:
    """A freshly initialised model for such data.

    Args:
        model: a short name or `module:attribute`; with brackets, as in a suite: `ddpm[ddim-20]`.
        seed: of the initial weights.
        overrides: fields of the model's `Config`, by name.
    """
    config = override(configured(model, data), overrides, f"the configuration of {model}")
    return build_configured(model_class(split_label(model).name), data, config, seed)


def build_configured(kind: type[Model], data: DataSpec, config: Any, seed: int) -> Model:
    """A freshly initialised model of a class; the initial weights depend on the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(seed, "init") >> 1)
        return kind(data, config).eval()


def configure(model: str, data: DataSpec, overrides: dict[str, Any], sampler: str | None = None) -> Any:
    """The model's own `Config` for such data, with some fields overridden by name, then a sampler chosen by name."""
    kind = model_class(model)
    if reason := kind.supports(data):
        raise Refused(f"{model} cannot serve this dataset: {reason}")
    config = override(kind.Config.for_data(data), overrides, f"the configuration of {model}")  # type: ignore[attr-defined]
    return config if sampler is None else kind.sampler_config(config, sampler)


def configured(label: str, data: DataSpec, section: dict[str, Any] | None = None) -> Any:
    """The configuration that a label means; refused where its sampler would overwrite a field that it sets itself.

    Args:
        section: what a suite says of all models of the name; a sampler that is named goes before it.
    """
    name, overrides, sampler = split_label(label)
    config = configure(name, data, {**(section or {}), **overrides})
    if sampler is None:
        return config
    chosen = model_class(name).sampler_config(config, sampler)
    for field_name in overrides:
        if (given := getattr(config, field_name)) != (taken := getattr(chosen, field_name)):
            raise Refused(
                f"model {label!r}: its sampler {sampler} means {field_name}={taken}, not {given}; "
                "name the sampler, or set its fields one by one"
            )
    return chosen


def recipe(model: str, data: DataSpec, budget: float, overrides: dict[str, Any]) -> Recipe:
    """The model's own recipe with its steps scaled by the budget, then overridden by name."""
    suited = model_class(model).recipe(data)
    if suited.batch_size is not None:
        steps = max(1, round(suited.steps * budget))
        suited = dataclasses.replace(suited, steps=steps, warmup=round(suited.warmup * min(1.0, budget)))
    return override(suited, overrides, f"the recipe of {model}")
