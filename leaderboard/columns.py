"""The columns a table can have: how each metric is called, which way is better, in which unit it is printed.

A record holds numbers, not declarations, and the site is built where no metric can be imported; so what a metric
declares beside its function (axis, direction) is repeated here, and a test holds the two together. The order is the
order of the columns; the first metric of an axis that a dataset's rows have is the one that the figures show.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from genbench.record import Axis, Better

AXES: dict[Axis, str] = {
    "likelihood": "Likelihood",
    "quality": "Quality",
    "diversity": "Diversity",
    "memorization": "Memorization",
    "reconstruction": "Reconstruction",
    "speed": "Speed",
}


@dataclass(frozen=True, kw_only=True)
class Column:
    """One metric as a table shows it.

    `scale` is what a record's value is multiplied with to be in `unit`; `lowest` and `highest` are the ends of the
    metric's range in the record; `beside` names metrics that stand in the same cell; `log` asks for a log axis.
    `merged` keeps all protocols in one column: that of a likelihood names its kind, and so differs from model to model;
    the cell then says what it holds. Without it every protocol has a column of its own. `detail` puts the column into
    the second table, which is closed at first.
    """

    metric: str
    heading: str
    axis: Axis
    better: Better | None
    help: str
    unit: str = ""
    scale: float = 1.0
    lowest: float = -math.inf
    highest: float = math.inf
    log: bool = False
    beside: tuple[str, ...] = ()
    merged: bool = False
    detail: bool = False

    @property
    def title(self) -> str:
        """Heading and unit."""
        return f"{self.heading},\u00a0{self.unit}" if self.unit else self.heading

    @property
    def direction(self) -> str:
        """In words."""
        return f"{self.better} is better" if self.better else "no direction declared"


@dataclass(frozen=True, kw_only=True)
class Heading:
    """A column of a section: a metric, and the protocol that its numbers share."""

    column: Column
    protocol: str


COLUMNS = (
    Column(
        metric="bits_per_dim",
        heading="Bits/dim",
        axis="likelihood",
        merged=True,
        better="lower",
        help="The same as the code length of one value of an image: −log p / (D ln 2).",
    ),
    Column(
        metric="nats",
        heading="log p",
        unit="nats",
        axis="likelihood",
        merged=True,
        better="higher",
        beside=("elbo",),
        help="Mean log-likelihood of a test example: the mass of an integer image, the density of a point.",
    ),
    Column(
        metric="excess_nats",
        heading="Excess",
        unit="nats",
        axis="likelihood",
        merged=True,
        better="lower",
        help="Cross-entropy of the model less the entropy of the data, where the law of the data is known.",
    ),
    Column(
        metric="fid",
        heading="FID",
        axis="quality",
        better="lower",
        lowest=0.0,
        log=True,
        help="Fréchet distance of two Gaussians fitted to features of real and of generated images.",
    ),
    Column(
        metric="fid_infinity",
        detail=True,
        heading="FID∞",
        axis="quality",
        better="lower",
        help="FID extrapolated to infinitely many generated images, which removes its bias in their number.",
    ),
    Column(
        metric="sfid",
        detail=True,
        heading="sFID",
        axis="quality",
        better="lower",
        lowest=0.0,
        log=True,
        help="Fréchet distance on features that keep their places in the image.",
    ),
    Column(
        metric="kid",
        detail=True,
        heading="KID",
        axis="quality",
        better="lower",
        help="Kernel distance of features of real and of generated images; unbiased, so that it may fall below zero.",
    ),
    Column(
        metric="cmmd",
        detail=True,
        heading="CMMD",
        axis="quality",
        better="lower",
        lowest=0.0,
        highest=2000.0,
        help="Kernel distance of the directions of features, times 1000; with CLIP's features as published.",
    ),
    Column(
        metric="mind",
        detail=True,
        heading="MIND",
        axis="quality",
        better="lower",
        lowest=0.0,
        log=True,
        help="Monge inception distance: squared distance of sorted projections of features, on the scale of FID.",
    ),
    Column(
        metric="sliced_wasserstein",
        detail=True,
        heading="Sliced W₂",
        axis="quality",
        better="lower",
        lowest=0.0,
        help="Wasserstein distance of features, averaged over projections to a line.",
    ),
    Column(
        metric="wasserstein",
        detail=True,
        heading="Earth mover",
        axis="quality",
        better="lower",
        lowest=0.0,
        help="How far features must be moved on average to turn generated into real ones.",
    ),
    Column(
        metric="c2st",
        detail=True,
        heading="C2ST",
        unit="%",
        scale=100.0,
        axis="quality",
        better="lower",
        lowest=0.0,
        highest=1.0,
        help="How often a nearest-neighbour classifier tells generated from real; 50% is chance.",
    ),
    Column(
        metric="high_quality",
        heading="High quality",
        unit="%",
        scale=100.0,
        axis="quality",
        better="higher",
        lowest=0.0,
        highest=1.0,
        help="Share of samples close to a mode of the data; a perfect sampler of a Gaussian mixture scores 98.9%.",
    ),
    Column(
        metric="validity",
        heading="Validity",
        unit="%",
        scale=100.0,
        axis="quality",
        better="higher",
        lowest=0.0,
        highest=1.0,
        help="Share of samples inside the 99.9% typical set of the known law.",
    ),
    Column(
        metric="precision",
        heading="Precision",
        axis="quality",
        better="higher",
        lowest=0.0,
        highest=1.0,
        help="Share of generated images that lie among the real ones in feature space.",
    ),
    Column(
        metric="density",
        detail=True,
        heading="Density",
        axis="quality",
        better="higher",
        lowest=0.0,
        help="How many neighbourhoods of real images hold a generated one; 1 for a perfect sampler.",
    ),
    Column(
        metric="clipped_density",
        detail=True,
        heading="Clipped density",
        axis="quality",
        better="higher",
        lowest=0.0,
        highest=1.0,
        help="Share of generated images that real ones surround as closely as they surround each other.",
    ),
    Column(
        metric="inception_score",
        heading="Inception score",
        axis="quality",
        better="higher",
        lowest=1.0,
        help="How surely a classifier sees one class in an image and how evenly it sees all; real data is not used.",
    ),
    Column(
        metric="jensen_shannon",
        detail=True,
        heading="JSD",
        unit="nats",
        axis="quality",
        merged=True,
        better="lower",
        help="Jensen-Shannon divergence of model and data, from 0 to log 2.",
    ),
    Column(
        metric="kl_reverse",
        detail=True,
        heading="KL(q‖p)",
        unit="nats",
        axis="quality",
        merged=True,
        better="lower",
        help="Divergence the other way: large where q puts mass that p has not.",
    ),
    Column(
        metric="recall",
        heading="Recall",
        axis="diversity",
        better="higher",
        lowest=0.0,
        highest=1.0,
        help="Share of real images that lie among the generated ones in feature space.",
    ),
    Column(
        metric="coverage",
        heading="Coverage",
        axis="diversity",
        better="higher",
        lowest=0.0,
        highest=1.0,
        help="Share of real images with a generated one in their neighbourhood.",
    ),
    Column(
        metric="clipped_coverage",
        detail=True,
        heading="Clipped coverage",
        axis="diversity",
        better="higher",
        lowest=0.0,
        highest=1.0,
        help="Share of the generated images that a perfect sampler would need to cover the real ones as well.",
    ),
    Column(
        metric="vendi",
        heading="Vendi",
        axis="diversity",
        better="higher",
        lowest=1.0,
        help="Effective number of different samples, from the similarities among themselves; real data is not used.",
    ),
    Column(
        metric="modes_captured",
        heading="Modes",
        axis="diversity",
        better="higher",
        lowest=0.0,
        help="Number of modes of the data that the samples reach.",
    ),
    Column(
        metric="mode_kl",
        heading="Mode KL",
        unit="nats",
        axis="diversity",
        better="lower",
        lowest=0.0,
        help="Divergence of the samples' histogram over modes from that of the data.",
    ),
    Column(
        metric="kl",
        detail=True,
        heading="Class KL",
        unit="nats",
        axis="diversity",
        better="lower",
        lowest=0.0,
        help="Divergence of the classes of generated images from those of real ones, as a classifier sees them.",
    ),
    Column(
        metric="kl_forward",
        heading="KL(p‖q)",
        unit="nats",
        axis="diversity",
        merged=True,
        better="lower",
        help="Divergence of the model q from the law p of the data: large where q misses what p has.",
    ),
    Column(
        metric="ms_ssim",
        detail=True,
        heading="MS-SSIM",
        axis="diversity",
        better="lower",
        lowest=0.0,
        highest=1.0,
        help="How much two generated images resemble each other; the value of real images is the one to reach.",
    ),
    Column(
        metric="psnr",
        detail=True,
        heading="PSNR",
        unit="dB",
        axis="reconstruction",
        better="higher",
        lowest=0.0,
        help="Peak signal-to-noise ratio of a reconstruction, averaged over the images.",
    ),
    Column(
        metric="ssim",
        detail=True,
        heading="SSIM",
        axis="reconstruction",
        better="higher",
        lowest=-1.0,
        highest=1.0,
        help="Structural similarity of a reconstruction to its original, averaged over the images.",
    ),
    Column(
        metric="reconstruction_error",
        detail=True,
        heading="Squared error",
        axis="reconstruction",
        better="lower",
        lowest=0.0,
        log=True,
        help="Mean squared difference of a value and its reconstruction; images stand on the scale of [0, 1].",
    ),
    Column(
        metric="authenticity",
        heading="Authenticity",
        axis="memorization",
        better="higher",
        lowest=0.0,
        highest=1.0,
        help="Share of generated images that are no closer to a training image than training images are to each other.",
    ),
    Column(
        metric="c_t",
        detail=True,
        heading="C_T",
        axis="memorization",
        better=None,
        help="Test of data-copying: below −3 generated images are closer to the training set than held-out ones are.",
    ),
    Column(
        metric="nearest_ratio",
        detail=True,
        heading="Nearest ratio",
        axis="memorization",
        better=None,
        lowest=0.0,
        help="Mean distance to the nearest training image, over that of held-out real images; 1 is best, 0 copies.",
    ),
    Column(
        metric="fld",
        detail=True,
        heading="FLD",
        axis="memorization",
        better="lower",
        help="Feature likelihood divergence: what held-out images cost under kernels at the generated ones.",
    ),
    Column(
        metric="fld_gap",
        detail=True,
        heading="FLD gap",
        axis="memorization",
        better=None,
        help="How much likelier training images are than held-out ones under those kernels; above 0: copying.",
    ),
    Column(
        metric="seconds_per_image",
        heading="Sampling",
        unit="ms/image",
        scale=1000.0,
        axis="speed",
        better="lower",
        lowest=0.0,
        log=True,
        help="Wall-clock time of the sampler, divided by the number of samples; machines are never mixed.",
    ),
    Column(
        metric="latency_p50",
        detail=True,
        heading="Latency",
        unit="ms",
        scale=1000.0,
        axis="speed",
        better="lower",
        lowest=0.0,
        log=True,
        help="Median time of one image by itself, on a backend that gives the same images as eager PyTorch.",
    ),
    Column(
        metric="latency_p90",
        detail=True,
        heading="Latency p90",
        unit="ms",
        scale=1000.0,
        axis="speed",
        better="lower",
        lowest=0.0,
        log=True,
        help="Nine of ten images by themselves take no longer.",
    ),
    Column(
        metric="latency_p99",
        detail=True,
        heading="Latency p99",
        unit="ms",
        scale=1000.0,
        axis="speed",
        better="lower",
        lowest=0.0,
        log=True,
        help="99 of 100 images by themselves take no longer.",
    ),
    Column(
        metric="images_per_second",
        detail=True,
        heading="Throughput",
        unit="images/s",
        axis="speed",
        better="higher",
        lowest=0.0,
        log=True,
        help="Images a second at the batch where that is most.",
    ),
    Column(
        metric="joules_per_image",
        detail=True,
        heading="Energy",
        unit="J/image",
        axis="speed",
        better="lower",
        lowest=0.0,
        log=True,
        help="What the whole GPU takes while it samples, by its own counter, an image.",
    ),
    Column(
        metric="memory_process",
        detail=True,
        heading="Memory",
        unit="MiB",
        scale=2.0**-20,
        axis="speed",
        better="lower",
        lowest=0.0,
        help="Peak of the sampling process, what it has loaded included.",
    ),
    Column(
        metric="nfe",
        detail=True,
        heading="Network calls",
        axis="speed",
        better=None,
        lowest=0.0,
        log=True,
        help="How often the network is evaluated for an image.",
    ),
    Column(
        metric="flops_per_image",
        detail=True,
        heading="Arithmetic",
        unit="MFLOP/image",
        scale=1e-6,
        axis="speed",
        better=None,
        lowest=0.0,
        log=True,
        help="Operations of products, convolutions and attention for an image, multiply and add as two.",
    ),
)

BESIDE = {"elbo": "ELBO"}  # metrics that stand in the cell of another, and what they are called there
_BY_METRIC = {column.metric: column for column in COLUMNS}


def column(metric: str) -> Column:
    """The column of a metric; for one that somebody's package brought, a column without direction."""
    known = _BY_METRIC.get(metric)
    return known or Column(
        metric=metric,
        heading=metric,
        axis="quality",
        better=None,
        help="A metric of another package; no direction is known, so nothing is marked as best.",
    )


def place(metric: str) -> int:
    """Where a metric stands in the order of columns; unknown ones come last."""
    return next((index for index, known in enumerate(COLUMNS) if known.metric == metric), len(COLUMNS))
