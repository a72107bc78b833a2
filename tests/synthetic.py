"""Plausible records with made-up numbers, for tests of everything that reads records. Seeded; no torch."""

from __future__ import annotations

import hashlib
import io
import random
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

from genbench import record
from genbench.record import (
    SCHEMA,
    Asset,
    Cost,
    Curve,
    DatasetRun,
    Kind,
    Measurement,
    ModelRun,
    Record,
)

# label: reference, family, likelihood, parameters, ms per image, quality (0 is perfect), share of modes covered
MODELS: dict[str, tuple[str, str, Kind | None, int, float, float, float]] = {
    "nade": ("baselines.nade:NADE", "autoregressive", "exact", 34_000, 3.0, 0.30, 0.95),
    "pixelcnn": ("baselines.pixelcnn:PixelCNN", "autoregressive", "exact", 310_000, 22.0, 0.22, 0.97),
    "realnvp": ("baselines.realnvp:RealNVP", "flow", "dequantized", 520_000, 0.09, 0.42, 0.93),
    "vae": ("baselines.vae:VAE", "variational", "iwae", 145_000, 0.012, 0.55, 0.92),
    "vqvae": ("baselines.vqvae:VQVAE", "variational", "elbo", 260_000, 1.4, 0.35, 0.9),
    "rbm": ("baselines.rbm:RBM", "boltzmann", "ais", 4_200, 6.0, 0.5, 0.85),
    "gan": ("baselines.gan:GAN", "gan", None, 98_000, 0.008, 0.33, 0.45),
    "dcgan": ("baselines.dcgan:DCGAN", "gan", None, 410_000, 0.03, 0.2, 0.6),
    "wgan-gp": ("baselines.wgan_gp:WGANGP", "gan", None, 400_000, 0.03, 0.18, 0.8),
    "ddpm": ("baselines.ddpm:DDPM", "diffusion", "vlb", 680_000, 45.0, 0.1, 0.97),
    "ddpm[steps=20]": ("baselines.ddpm:DDPM", "diffusion", "vlb", 680_000, 4.0, 0.14, 0.96),
    "flow-matching": ("baselines.flow_matching:FlowMatching", "flow matching", "ode", 680_000, 5.0, 0.09, 0.98),
}
CONTROLS: dict[str, tuple[str, str, Kind | None, int, float, float, float]] = {
    "copycat": ("baselines.copycat:Copycat", "control", None, 0, 0.001, 0.03, 1.0),
    "narrow-kernels": ("baselines.narrow_kernels:NarrowKernels", "control", "exact", 0, 0.002, 0.04, 1.0),
    "independent": ("baselines.independent:Independent", "control", "exact", 1_088, 0.003, 0.9, 0.3),
}
MACHINE: dict[str, record.Scalar] = {
    "genbench": "0.1.0",
    "python": "3.11.9",
    "system": "Linux x86_64",
    "cpu": "Example CPU at 3 GHz",
    "cores": 2,
    "threads": 2,
    "device": "cpu",
    "torch": "2.6.0",
}


def key_of(*what: object) -> str:
    """Sixteen hexadecimal digits that follow from what was run."""
    return hashlib.sha256(repr(what).encode()).hexdigest()[:16]


def digest(what: str) -> str:
    return hashlib.sha256(what.encode()).hexdigest()


def digits() -> DatasetRun:
    return DatasetRun(
        reference="genbench.data.digits:digits",
        label="digits",
        shape=[1, 8, 8],
        levels=17,
        classes=10,
        checksums={split: digest(f"digits {split}") for split in ("train", "validation", "test")},
    )


def ring8() -> DatasetRun:
    return DatasetRun(
        reference="genbench.data.mixtures:ring8",
        label="ring8",
        shape=[2],
        levels=None,
        classes=8,
        checksums={split: digest(f"ring8 {split}") for split in ("train", "validation", "test")},
        entropy=(-4.293, 0.007),
    )


def measured(
    rng: random.Random,
    metric: str,
    value: float,
    spread: float,
    protocol: str = "",
    kind: Kind | None = None,
    ends: tuple[float, float] = (-np.inf, np.inf),
) -> Measurement:
    """A value near `value` with an interval of about two spreads on either side."""
    found = min(max(value + rng.gauss(0, spread), ends[0]), ends[1])
    half = spread * rng.uniform(1.6, 2.4)
    return Measurement(
        metric=metric,
        value=found,
        low=max(found - half, ends[0]),
        high=min(found + half, ends[1]),
        n=1000,
        method="delete-a-group jackknife",
        protocol=protocol,
        kind=kind,
    )


def undefined(metric: str, reason: str) -> Measurement:
    return Measurement(metric=metric, status="undefined", reason=reason)


def png(rng: random.Random, side: int = 10, cell: int = 49) -> bytes:
    """A contact sheet of soft blobs."""
    random_state = np.random.default_rng(rng.getrandbits(32))
    size = side * cell + 1
    rows, columns = np.mgrid[0:size, 0:size]
    sheet = np.full((size, size), 128.0)
    for index in range(side * side):
        top, left = index // side * cell, index % side * cell
        centre = random_state.uniform(14, 34, 2)
        inside = (rows > top) & (rows < top + cell) & (columns > left) & (columns < left + cell)
        distance = (rows - top - centre[0]) ** 2 + (columns - left - centre[1]) ** 2
        sheet[inside] = (255 * np.exp(-distance / random_state.uniform(40, 160)))[inside]
    buffer = io.BytesIO()
    Image.fromarray(sheet.astype(np.uint8)).save(buffer, format="PNG")
    return buffer.getvalue()


def make(
    label: str = "vae",
    dataset: DatasetRun | None = None,
    seed: int = 0,
    *,
    created: str = "2026-03-01T12:00:00Z",
    code: str = "first",
    config: dict[str, object] | None = None,
    environment: dict[str, record.Scalar] | None = None,
    measurements: Iterable[Measurement] | None = None,
    picture: bytes | None = None,
) -> Record:
    """One record of one of the models above (or of real data, under the label "real")."""
    dataset = dataset or digits()
    key = key_of(label, dataset.label, seed, created, code, config, environment)
    rng = random.Random(zlib.crc32(f"{label} {dataset.label} {seed}".encode()))
    real = label == "real"
    unknown: tuple[str, str, Kind | None, int, float, float, float]
    unknown = ("somebody.models:Model", "somebody", None, 1_000, 1.0, 0.5, 0.5)
    reference, family, kind, parameters, ms, error, covered = (MODELS | CONTROLS).get(label, unknown)
    if real:
        reference, family, kind, parameters, ms, error, covered = (
            "genbench.run:real_rows",
            "reference",
            None,
            0,
            0,
            0.03,
            1.0,
        )
    if measurements is None:
        measurements = _numbers(rng, label, dataset, kind, ms, error, covered)
    model = ModelRun(
        reference=reference,
        label=label,
        family=family,
        likelihood=kind,
        config={"width": 64} if config is None else dict(config),
        recipe={} if real else {"steps": 2000, "batch_size": 128},
        code=digest(code),
        weights=None if real else digest(key),
        control=real or label in CONTROLS,
    )
    assets = {}
    if picture is not None:
        width, height = Image.open(io.BytesIO(picture)).size
        assets["samples"] = Asset(
            file=f"{key}-samples.png", sha256=hashlib.sha256(picture).hexdigest(), width=width, height=height
        )
    return Record(
        schema=SCHEMA,
        key=key,
        created=created,
        model=model,
        dataset=dataset,
        seeds={"train": seed, "sample": 0, "evaluate": 0},
        settings={"samples": 1000, "likelihood_images": 1000, "precision": "float32"},
        environment=MACHINE if environment is None else environment,
        cost=Cost(
            parameters=parameters,
            steps=0 if real else 2000,
            images=0 if real else 256_000,
            train_seconds=0.0 if real else 20.0 + rng.random() * 100,
            flops=None,
            sample_seconds=ms,
            evaluate_seconds=1.5,
        ),
        curves={} if real else {"loss": Curve(steps=[0, 1000, 2000], values=[3.0, 1.0, 0.8])},
        report={},
        measurements={one.name: one for one in measurements},
        assets=assets,
    )


def _numbers(
    rng: random.Random, label: str, dataset: DatasetRun, kind: Kind | None, ms: float, error: float, covered: float
) -> list[Measurement]:
    points, real = dataset.levels is None, label == "real"
    found: list[Measurement] = []
    if kind is None:
        reason = "samples alone have no likelihood" if real else f"{label} defines no likelihood"
        found += [undefined(name, reason) for name in ("nats", "bits_per_dim")]
    else:
        level = -4.3 + 3 * error if points else 95 + 60 * error
        protocol = f"{kind},test,n=1000"
        nats = measured(rng, "nats", -level, 0.4, protocol, kind)
        found.append(nats)
        if not points:
            found.append(measured(rng, "bits_per_dim", level / 44.36, 0.01, protocol, kind))
        if kind == "iwae":
            found.append(measured(rng, "elbo", -level - 2.1, 0.4, protocol))
    if points:
        ends = (0.0, 1.0)
        found.append(measured(rng, "high_quality", 0.989 - error * 0.6, 0.004, "law,modes=8,n=1000", ends=ends))
        found.append(measured(rng, "modes_captured", round(8 * covered), 0.0, "law,modes=8,n=1000"))
        found.append(
            measured(rng, "mode_kl", 0.004 + 1.2 * (1 - covered), 0.002, "law,modes=8,n=1000", ends=(0, np.inf))
        )
        if kind in ("exact", "ode"):
            found.append(measured(rng, "kl_forward", 0.02 + 3 * error, 0.02, f"{kind},test,n=1000"))
    else:
        space = "digitnet@3f2a,test,n=1000"
        found.append(measured(rng, "fid", 0.6 + 300 * error**2, 0.4 + 4 * error, space, ends=(0, np.inf)))
        found.append(measured(rng, "precision", 0.93 - 0.8 * error, 0.012, space, ends=(0, 1)))
        found.append(measured(rng, "recall", 0.93 * covered - 0.2 * error, 0.015, space, ends=(0, 1)))
        found += [
            undefined(name, "the law of digits is not known") for name in ("high_quality", "kl_forward", "validity")
        ]
    if not real:
        protocol = "eager,cpu,threads=2,batch=64"
        found.append(measured(rng, "seconds_per_image", ms / 1000, ms / 1000 * 0.03, protocol, ends=(0, np.inf)))
    return found


def write(folder: Path, one: Record, picture: bytes | None = None) -> Path:
    """Writes a record, and its picture beside it, as the store does."""
    folder.mkdir(parents=True, exist_ok=True)
    if picture is not None:
        (folder / f"{one.key}-samples.png").write_bytes(picture)
    path = folder / f"{one.key}.json"
    path.write_bytes(record.encode(one))
    return path


def populate(folder: Path, seeds: int = 1, side: int = 10) -> list[Record]:
    """Real data, the controls and every model on two datasets; models under several training seeds."""
    records = []
    for dataset in (digits(), ring8()):
        for label in ["real", *CONTROLS, *MODELS]:
            if dataset.label == "ring8" and label == "rbm":
                continue
            for seed in range(1 if label == "real" else seeds):
                picture = png(random.Random(zlib.crc32(f"{label} {dataset.label} {seed}".encode())), side)
                one = make(
                    label, dataset, seed, created=f"2026-03-{1 + len(records) % 28:02d}T12:00:00Z", picture=picture
                )
                write(folder, one, picture)
                records.append(one)
    return records
