"""What to run: a suite is datasets x models x seeds x settings, written in TOML, validated before anything starts.

about = "one line"
seeds = [0, 1, 2]                 # training seeds
speed = ["eager", "onnx-cpu"]     # backends on which every trained model is timed; none, where nothing is said
[[group]]
datasets = ["digits"]
models = ["vae", "gan[loss=saturating]", "ddpm[ddim-20]"]   # overrides of a Config, or a sampler of the same weights
budget = 0.1                      # of the models' own recipes
metrics = ["fid", "recall"]       # all of the catalog, where nothing is said
[config.vae]                      # fields of a model's Config, on every dataset
latent = 8
[recipe.vae]                      # fields of its Recipe
steps = 300
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
from msgspec import Meta, Struct

from genbench.catalog import did_you_mean
from genbench.errors import Refused

_LABEL = re.compile(r"(?P<name>[^\[\]]+)(\[(?P<overrides>[^\[\]]+)\])?\Z")
Budget = Annotated[float, Meta(gt=0, le=1000)]
Count = Annotated[int, Meta(ge=1, le=10_000_000)]


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much to measure; a group's own value goes before the suite's."""

    budget: Budget = 1.0
    samples: Count = 1000
    likelihood_images: Count = 1000
    precision: Literal["float32", "bf16"] = "float32"
    metrics: list[str] | None = None  # names of metrics or protocols; None: all of the catalog


class Group(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every model of the group on every dataset of the group."""

    datasets: Annotated[list[str], Meta(min_length=1)]
    models: Annotated[list[str], Meta(min_length=1)]
    budget: Budget | None = None
    samples: Count | None = None
    likelihood_images: Count | None = None
    precision: Literal["float32", "bf16"] | None = None
    metrics: list[str] | None = None


class Suite(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A validated suite."""

    about: str = ""
    seeds: Annotated[list[Annotated[int, Meta(ge=0, lt=2**32)]], Meta(min_length=1)] = msgspec.field(
        default_factory=lambda: [0]
    )
    budget: Budget = 1.0
    samples: Count = 1000
    likelihood_images: Count = 1000
    precision: Literal["float32", "bf16"] = "float32"
    metrics: list[str] | None = None
    speed: list[str] = []
    group: Annotated[list[Group], Meta(min_length=1)]
    config: dict[str, dict[str, Any]] = {}
    recipe: dict[str, dict[str, Any]] = {}

    def settings(self, group: Group) -> Settings:
        """The settings in force for a group."""
        names = Settings.__struct_fields__
        own = {name: getattr(group, name) for name in names}
        return Settings(**{name: getattr(self, name) if own[name] is None else own[name] for name in names})


def names() -> dict[str, str]:
    """The suites that come with genbench, each with what it says of itself."""
    folder = resources.files("genbench") / "suites"
    found = {}
    for file in sorted(folder.iterdir(), key=lambda f: f.name):
        if file.name.endswith(".toml"):
            found[file.name.removesuffix(".toml")] = str(tomllib.loads(file.read_text("utf-8")).get("about", ""))
    return found


def load(name: str, changes: list[str] | None = None) -> Suite:
    """A suite by name or by the path of a TOML file.

    Args:
        changes: `a.b=c` each: `budget=0.5`, `seeds=[0,1]`, `vae.latent=8` (a model's Config),
            `vae.recipe.steps=100` (its Recipe).
    """
    path = Path(name)
    if name.endswith(".toml") or path.is_file():
        if not path.is_file():
            raise Refused(f"there is no suite file {name}")
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            raise Refused(f"cannot read the suite {name}: {error.strerror}") from None
    elif name in names():
        text = (resources.files("genbench") / "suites" / f"{name}.toml").read_text("utf-8")
    else:
        raise Refused(f"unknown suite {name!r}{did_you_mean(name, names())}")
    try:
        content = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise Refused(f"suite {name} is not valid TOML: {error}") from None
    try:
        msgspec.convert(content, Suite)
        for change in changes or []:
            _change(content, change)
        return msgspec.convert(content, Suite)
    except msgspec.ValidationError as error:
        raise Refused(f"suite {name}: {_explain(str(error))}") from None


def only(suite: Suite, models: Sequence[str], datasets: Sequence[str]) -> Suite:
    """The suite's settings for some models and datasets alone; none given leaves the suite's own.

    A model or a dataset that the suite does not have is added: models run on every dataset that is left.
    """
    groups, seen = [], set[str]()
    for group in suite.group:
        left = [name for name in group.datasets if (not datasets or name in datasets) and name not in seen]
        seen |= set(left) if models else set()  # models that are named run on a dataset once, in its first group
        groups.append(msgspec.structs.replace(group, datasets=left, models=[*models] or group.models))
    new = [name for name in datasets if not any(name in group.datasets for group in groups)]
    if new and not models:
        raise Refused(f"the suite has no models for dataset {new[0]!r}; name some with --model")
    groups += [Group(datasets=new, models=[*models])] if new else []
    return msgspec.structs.replace(suite, group=[group for group in groups if group.datasets])


def _change(content: dict[str, Any], change: str) -> None:
    target, equals, value = change.partition("=")
    parts = target.split(".")
    if not equals or not all(parts) or len(parts) > 3 or (len(parts) == 3 and parts[1] != "recipe"):
        raise Refused(f"--set {change!r} is not of the form name=value, model.field=value or model.recipe.field=value")
    if len(parts) == 1:
        content[target] = parse(value)
        for group in content["group"]:  # what the command line says goes before what a group says
            group.pop(target, None)
        return
    section = content.setdefault("recipe" if len(parts) == 3 else "config", {})
    section.setdefault(parts[0], {})[parts[-1]] = parse(value)


def parse(text: str) -> Any:
    """A TOML value; what is none is a string, so that `loss=saturating` needs no quotes."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _explain(message: str) -> str:
    """msgspec's sentence, with the names that would have been right behind an unknown one."""
    unknown = re.match(r"Object contains unknown field `(?P<field>[^`]*)`(?: - at `(?P<path>[^`]*)`)?", message)
    if not unknown:
        return message
    fields = Group.__struct_fields__ if unknown["path"] else Suite.__struct_fields__
    where = f" in {unknown['path']}" if unknown["path"] else ""
    return f"unknown key {unknown['field']!r}{where}{did_you_mean(unknown['field'], list(fields))}"


class Label(NamedTuple):
    """What `gan[loss=saturating]` and `ddpm[ddim-20]` say: a name, overrides of its Config, one of its samplers."""

    name: str
    overrides: dict[str, Any]
    sampler: str | None = None


def split_label(label: str) -> Label:
    """`ddpm[width=16, ddim-20]` to its parts; a part without `=` is the name of a sampler."""
    match = _LABEL.match(label)
    if not match:
        raise Refused(f"model {label!r} is not of the form name or name[field=value,...,sampler]")
    overrides, sampler = dict[str, Any](), None
    for part in (match["overrides"] or "").split(","):
        field, equals, value = (piece.strip() for piece in part.partition("="))
        if equals and field:
            overrides[field] = parse(value)
        elif equals or (field and sampler):
            raise Refused(f"model {label!r}: {part.strip()!r} is not of the form field=value")
        elif field:
            sampler = field
    return Label(match["name"].strip(), overrides, sampler)
