"""Short name -> "module:attribute". Imports nothing heavy: a name is resolved when somebody asks for it.

Anybody's package adds names through the entry-point groups `genbench.models`, `genbench.datasets`,
`genbench.metrics`, `genbench.extractors`. A name of ours cannot be taken over.
"""

from __future__ import annotations

import ast
import difflib
import importlib
import importlib.util
import os
import sys
from collections.abc import Iterable
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Literal

from genbench.errors import Refused

Shelf = Literal["models", "datasets", "metrics", "extractors"]

MODELS = {
    "nade": "baselines.nade:NADE",
    "pixelcnn": "baselines.pixelcnn:PixelCNN",
    "realnvp": "baselines.realnvp:RealNVP",
    "vae": "baselines.vae:VAE",
    "vqvae": "baselines.vqvae:VQVAE",
    "rbm": "baselines.rbm:RBM",
    "gan": "baselines.gan:GAN",
    "dcgan": "baselines.dcgan:DCGAN",
    "wgan-gp": "baselines.wgan_gp:WGANGP",
    "ddpm": "baselines.ddpm:DDPM",
    "flow-matching": "baselines.flow_matching:FlowMatching",
    "truth": "baselines.truth:Truth",
    "copycat": "baselines.copycat:Copycat",
    "narrow-kernels": "baselines.narrow_kernels:NarrowKernels",
    "mostly-noise": "baselines.mostly_noise:MostlyNoise",
    "independent": "baselines.independent:Independent",
    "gaussian": "baselines.gaussian:Gaussian",
}

DATASETS = {
    "ring8": "genbench.data.mixtures:ring8",
    "grid25": "genbench.data.mixtures:grid25",
    "spirals": "genbench.data.spirals:spirals",
    "glyphs": "genbench.data.glyphs:glyphs",
    "glyphs-rgb": "genbench.data.glyphs_rgb:glyphs_rgb",
    "digits": "genbench.data.digits:digits",
    "digits-binary": "genbench.data.digits:digits_binary",
    "digits-stacked": "genbench.data.digits:digits_stacked",
    "patches": "genbench.data.patches:patches",
    "patches-rgb": "genbench.data.patches:patches_rgb",
    "mnist": "genbench.data.vision:mnist",
    "binarized-mnist": "genbench.data.binarized_mnist:binarized_mnist",
    "fashion-mnist": "genbench.data.vision:fashion_mnist",
    "cifar10": "genbench.data.vision:cifar10",
    "svhn": "genbench.data.vision:svhn",
    "celeba": "genbench.data.vision:celeba",
    "folder": "genbench.data.files:folder",
    "npz": "genbench.data.files:npz",
}
WITH_ARGUMENT = ("folder", "npz")  # `folder:PATH`

METRICS = {
    "fid": "genbench.metrics.fid:METRIC",
    "fid_infinity": "genbench.metrics.fid_infinity:METRIC",
    "sfid": "genbench.metrics.sfid:METRIC",
    "inception_score": "genbench.metrics.inception_score:METRIC",
    "kid": "genbench.metrics.kid:METRIC",
    "cmmd": "genbench.metrics.cmmd:METRIC",
    "mind": "genbench.metrics.mind:METRIC",
    "sliced_wasserstein": "genbench.metrics.sliced_wasserstein:METRIC",
    "wasserstein": "genbench.metrics.wasserstein:METRIC",
    "c2st": "genbench.metrics.c2st:METRIC",
    "precision": "genbench.metrics.precision:METRIC",
    "density": "genbench.metrics.density:METRIC",
    "clipped_density": "genbench.metrics.clipped_density:METRIC",
    "recall": "genbench.metrics.recall:METRIC",
    "vendi": "genbench.metrics.vendi:METRIC",
    "coverage": "genbench.metrics.coverage:METRIC",
    "clipped_coverage": "genbench.metrics.clipped_coverage:METRIC",
    "modes_captured": "genbench.metrics.modes_captured:METRIC",
    "high_quality": "genbench.metrics.high_quality:METRIC",
    "mode_kl": "genbench.metrics.mode_kl:METRIC",
    "kl": "genbench.metrics.kl:METRIC",
    "authenticity": "genbench.metrics.authenticity:METRIC",
    "c_t": "genbench.metrics.c_t:METRIC",
    "nearest_ratio": "genbench.metrics.nearest_ratio:METRIC",
    "fld": "genbench.metrics.fld:METRIC",
    "fld_gap": "genbench.metrics.fld_gap:METRIC",
    "nats": "genbench.metrics.nats:METRIC",
    "bits_per_dim": "genbench.metrics.bits_per_dim:METRIC",
    "excess_nats": "genbench.metrics.excess_nats:METRIC",
    "kl_forward": "genbench.metrics.kl_forward:METRIC",
    "kl_reverse": "genbench.metrics.kl_reverse:METRIC",
    "jensen_shannon": "genbench.metrics.jensen_shannon:METRIC",
    "validity": "genbench.metrics.validity:METRIC",
    "ms_ssim": "genbench.metrics.ms_ssim:METRIC",
    "psnr": "genbench.metrics.psnr:METRIC",
    "ssim": "genbench.metrics.ssim:METRIC",
    "reconstruction_error": "genbench.metrics.reconstruction_error:METRIC",
}

EXTRACTORS = {
    "pixels": "genbench.features.pixels:Pixels",
    "digitnet": "genbench.features.digitnet:DigitNet",
    "inception": "genbench.features.inception:Inception",
    "random-vgg16": "genbench.features.random_vgg16:RandomVGG16",
    "dinov2": "genbench.features.dinov2:DINOv2",
    "clip": "genbench.features.clip:CLIP",
}

_SHELVES: dict[str, dict[str, str]] = {
    "models": MODELS,
    "datasets": DATASETS,
    "metrics": METRICS,
    "extractors": EXTRACTORS,
}


@cache
def shelf(name: Shelf) -> dict[str, str]:
    """All names of a shelf with their references: ours first, then those of installed packages."""
    found = dict(_SHELVES[name])
    for point in entry_points(group=f"genbench.{name}"):
        found.setdefault(point.name, point.value)
    return found


def did_you_mean(wrong: str, names: Iterable[str]) -> str:
    """`; did you mean ...?` or the whole list, for the end of an error."""
    close = difflib.get_close_matches(wrong, list(names), n=3, cutoff=0.5)
    return f"; did you mean {' or '.join(close)}?" if close else f"; there is {', '.join(sorted(names))}"


def reference(name: Shelf, alias: str) -> str:
    """The full reference of a short name; a `module:attribute` reference is returned as it is."""
    known = shelf(name)
    head = alias.partition(":")[0]
    if alias in known:
        return known[alias]
    if name == "datasets" and head in WITH_ARGUMENT:
        return known[head]
    module, colon, attribute = alias.partition(":")
    if colon and all(part.isidentifier() for part in (*module.split("."), *attribute.split("."))):
        return alias
    raise Refused(f"unknown {name.removesuffix('s')} {alias!r}{did_you_mean(alias, known)}")


def resolve(name: Shelf, alias: str) -> Any:
    """The object behind a short name or a `module:attribute` reference.

    Modules of the current folder are found once a reference is resolved (`mine:Mine` in mine.py), never before.
    """
    target = reference(name, alias)
    if target == alias:
        _see_the_current_folder()
    module_name, _, attribute = target.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and (module_name == error.name or module_name.startswith(error.name + ".")):
            raise Refused(f"{alias!r}: there is no module {error.name!r} (looked up for {target!r})") from None
        raise Refused(f"{alias!r}: module {module_name!r} needs {error.name!r}, which is not installed") from error
    try:
        found: Any = module
        for part in attribute.split("."):
            found = getattr(found, part)
    except AttributeError:
        names = [n for n in vars(module) if not n.startswith("_")]
        raise Refused(
            f"{alias!r}: module {module_name!r} has no {attribute!r}{did_you_mean(attribute, names)}"
        ) from None
    return found


def _see_the_current_folder() -> None:
    """Last among the places where modules are looked for, so that it hides nothing; not where Python is told not to."""
    here = os.getcwd()  # noqa: PTH109
    if not sys.flags.safe_path and not {"", ".", here} & set(sys.path):
        sys.path.append(here)


def summary(target: str) -> str:
    """The first line of what a reference documents, read from the source without importing it."""
    module_name, _, attribute = target.partition(":")
    try:
        spec = importlib.util.find_spec(module_name)
    except ModuleNotFoundError:
        return "(not installed)"
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return "(not installed)"
    tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    named = [n for n in tree.body if isinstance(n, ast.ClassDef | ast.FunctionDef) and n.name == attribute]
    text = (ast.get_docstring(named[0]) if named else None) or ast.get_docstring(tree) or ""
    return text.partition("\n")[0]
