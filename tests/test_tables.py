"""What a table says of its rows beside each other: ranks, pairs, best seeds, fronts; and how long ten thousand take."""

import math
import time

import msgspec
import numpy as np
import pytest

from genbench.record import Measurement
from leaderboard.table import Section, sections
from tests import synthetic


def number(metric, value, half=0.0, **more):
    return Measurement(metric=metric, value=value, low=value - half, high=value + half, n=100, **more)


def row(label, *numbers, seed=0, per_image=None, **more):
    made = synthetic.make(label, seed=seed, measurements=numbers, **more)
    return msgspec.structs.replace(made, per_image=per_image or {})


def only(records) -> Section:
    (section,) = sections(records)
    return section


def cells(section, metric):
    index = next(i for i, heading in enumerate(section.headings) if heading.column.metric == metric)
    return {row.name: row.cells[index] for row in section.rows}


def test_ranks_hold_among_the_models_alone():
    found = [row(label, number("fid", value, 1)) for label, value in (("vae", 3), ("gan", 4.3), ("ddpm", 9))]
    found += [row("copycat", number("fid", 0.1, 0.05)), row("real", number("fid", 0.1, 0.05))]
    of = cells(only(found), "fid")
    assert {name: cell.rank for name, cell in of.items()} == {
        "vae": (1, 2), "gan": (1, 2), "ddpm": (3, 3), "copycat": None, "real": None,
    }  # fmt: skip
    assert {name for name, cell in of.items() if cell.tied} == {"vae", "gan"}
    assert {name for name, cell in of.items() if cell.best} == {"vae", "gan"}


def test_nobody_is_best_where_nobody_is_separated():
    of = cells(only([row(label, number("fid", value, 5)) for label, value in (("vae", 3), ("gan", 4))]), "fid")
    assert [(cell.rank, cell.tied, cell.best) for cell in of.values()] == [((1, 2), True, False)] * 2
    of = cells(only([row("vae", number("fid", 3, 1))]), "fid")
    assert (of["vae"].rank, of["vae"].best) == (None, False)


def test_a_metric_without_direction_ranks_nobody():
    of = cells(only([row(label, number("c_t", value, 0.1)) for label, value in (("vae", 3), ("gan", 9))]), "c_t")
    assert [(cell.rank, cell.minimum) for cell in of.values()] == [(None, None)] * 2


def timed(label, *seconds):
    return [row(label, number("seconds_per_image", x, 0.01 * x), seed=seed) for seed, x in enumerate(seconds)]


def test_speeds_of_several_seeds_are_averaged_and_compared_as_logarithms():
    """A busy machine multiplies a time: one slow run of a slow model does not make it as fast as a fast one."""
    of = cells(only(timed("gan", 8e-6, 8.1e-6, 8.2e-6) + timed("ddpm", 2e-3, 2e-3, 4e-3)), "seconds_per_image")
    assert of["ddpm"].value == pytest.approx(1e3 * (2e-3 * 2e-3 * 4e-3) ** (1 / 3))
    half = 4.302652729911275 * np.std(np.log([2, 2, 4]), ddof=1) / 3**0.5
    assert (of["ddpm"].low, of["ddpm"].high) == pytest.approx(
        (of["ddpm"].value * math.exp(-half), of["ddpm"].value * math.exp(half))
    )
    assert (of["gan"].rank, of["ddpm"].rank) == ((1, 1), (2, 2))


def test_speeds_that_lie_worlds_apart_stop_no_table():
    of = cells(only(timed("gan", 1e-290, 1e20) + timed("vae", 0.0, 1.0)), "seconds_per_image")
    assert all(cell.ok and math.isfinite(cell.high) for cell in of.values())


def test_a_speed_of_one_seed_is_the_number_itself():
    (cell,) = cells(only(timed("gan", 0.007)), "seconds_per_image").values()
    assert (cell.value, cell.low, cell.high) == (7.0, pytest.approx(6.93), pytest.approx(7.07))


def test_kinds_and_machines_have_ranks_of_their_own():
    kinds = {"nade": ("exact", -85.0), "pixelcnn": ("exact", -80.0), "vae": ("iwae", -90.0)}
    found = [row(name, number("nats", value, 0.5, kind=kind)) for name, (kind, value) in kinds.items()]
    of = cells(only(found), "nats")
    assert {name: cell.rank for name, cell in of.items()} == {"nade": (2, 2), "pixelcnn": (1, 1), "vae": None}


def test_images_pair_models_whose_likelihoods_overlap():
    """The images differ by 30 nats, the models by 1 on each image: only pairs can tell them apart."""
    rng = np.random.default_rng(0)
    base = -100 + 30 * rng.normal(size=100)
    found = []
    for label, shift in (("nade", 0.0), ("pixelcnn", 1.0)):
        nats = base + shift + 0.1 * rng.normal(size=100)
        mean = float(nats.mean())
        bits = -mean / (64 * math.log(2))
        numbers = (number("nats", mean, 6.0, kind="exact"), number("bits_per_dim", bits, 0.14, kind="exact"))
        found.append(row(label, *numbers, per_image={"nats": nats.tolist()}))
    for metric in ("nats", "bits_per_dim"):
        of = cells(only(found), metric)
        assert (of["pixelcnn"].rank, of["nade"].rank) == ((1, 1), (2, 2))
    apart = [msgspec.structs.replace(one, per_image={}) for one in found]
    assert cells(only(apart), "nats")["nade"].rank == (1, 2)
    fewer = [found[0], msgspec.structs.replace(found[1], settings={**found[1].settings, "likelihood_images": 7})]
    assert cells(only(fewer), "nats")["nade"].rank == (1, 2), "other images are no pairs"


def test_the_best_seed_has_a_number_of_its_own():
    found = [row("vae", number("fid", v, 0.1), number("recall", v / 10, 0.01), seed=s) for s, v in enumerate((2, 1, 6))]
    section = only(found)
    assert cells(section, "fid")["vae"].minimum == 1
    assert cells(section, "recall")["vae"].minimum == pytest.approx(0.6)
    assert cells(section, "fid")["vae"].value == pytest.approx(3)
    assert cells(only(found[:1]), "fid")["vae"].minimum is None
    fast = [row("vae", number("seconds_per_image", v / 1000, 0), seed=s) for s, v in enumerate((2, 1))]
    assert cells(only(fast), "seconds_per_image")["vae"].minimum == pytest.approx(1.0), "in the column's unit"


def test_seeds_that_repeat_one_number_keep_its_interval():
    """A model that is not trained gives the same number under every seed: that is no precision."""
    found = [row("vae", number("fid", 5.0, 2.0), seed=seed) for seed in range(3)]
    cell = cells(only(found), "fid")["vae"]
    assert (cell.value, cell.low, cell.high, cell.seeds) == (5.0, 3.0, 7.0, 3)


def trio(label, fid, recall, seconds, half=0.01, **more):
    return row(
        label, number("fid", fid, half * fid), number("recall", recall, half), number("seconds_per_image", seconds, 0),
        **more,
    )  # fmt: skip


def names(section, indices):
    return {section.rows[index].name for index in indices}


def test_fronts_of_three_axes():
    """gan is fast, ddpm good, vae worse than gan everywhere; rbm worse than gan by less than the intervals."""
    found = [
        trio("gan", 20, 0.6, 0.001),
        trio("ddpm", 5, 0.9, 0.1),
        trio("vae", 40, 0.5, 0.002),
        trio("rbm", 20.1, 0.599, 0.001),
        trio("copycat", 0.1, 1.0, 0.0001),
        row("nade", number("fid", 9, 0.1)),
    ]
    section = only(found)
    assert [front.axes for front in section.fronts] == [
        ("speed", "quality"), ("speed", "diversity"), ("diversity", "quality"), ("speed", "diversity", "quality"),
    ]  # fmt: skip
    for front in section.fronts:
        on = {"ddpm"} if front.axes == ("diversity", "quality") else {"gan", "ddpm"}
        assert names(section, front.on) == on
        assert "vae" in names(section, front.beyond)
        assert names(section, [index for index, _ in front.left_out]) == {"nade"}
        shown = {*front.on, *front.dominated, *front.beyond, *(index for index, _ in front.left_out)}
        assert names(section, shown) == {"gan", "ddpm", "vae", "rbm", "nade"}, "controls take no part"
    assert names(section, section.fronts[0].dominated) == {"rbm"}
    assert section.fronts[3].left_out[0][1] == "Sampling: not measured; Recall: not measured"
    assert [section.headings[i].column.axis for i in section.fronts[3].headings] == ["speed", "diversity", "quality"]


def test_each_class_of_hardware_has_its_front():
    other = {**synthetic.MACHINE, "cpu": "Another CPU"}
    section = only([
        trio("gan", 20, 0.6, 0.001), trio("vae", 40, 0.5, 0.002), trio("ddpm", 5, 0.9, 0.1, environment=other),
    ])  # fmt: skip
    speed = [front for front in section.fronts if front.axes == ("speed", "quality")]
    assert [(names(section, front.on), front.hardware[:7]) for front in speed] == [
        ({"ddpm"}, "Another"),
        ({"gan"}, "Example"),
    ]
    assert [(names(section, front.beyond), front.left_out, front.elsewhere) for front in speed] == [
        (set(), (), 2),
        ({"vae"}, (), 1),
    ]
    (still,) = (front for front in section.fronts if front.axes == ("diversity", "quality"))
    assert (names(section, still.on), still.hardware, still.left_out, still.elsewhere) == ({"ddpm"}, "", (), 0)


def test_equal_models_stay_on_the_front_together():
    section = only([trio("gan", 20, 0.6, 0.001), trio("vae", 20, 0.6, 0.001)])
    assert all(names(section, front.on) == {"gan", "vae"} for front in section.fronts)


def test_without_an_axis_there_is_no_front_of_it():
    section = only([row("vae", number("fid", 3, 1), number("recall", 0.3, 0.1))])
    assert [front.axes for front in section.fronts] == [("diversity", "quality")]


@pytest.mark.parametrize("shape", ["rows", "seeds", "variants"])
def test_a_thousand_records_take_seconds(shape):
    """A tenth of ten thousand, which takes four to five seconds; what grows with the square takes far more."""
    made = {
        "rows": lambda k: synthetic.make(f"model {k}"),
        "seeds": lambda k: synthetic.make(f"model {k // 10}", seed=k % 10),
        "variants": lambda k: synthetic.make("vae", config={"latent": k}),
    }[shape]
    records = [made(k) for k in range(1000)]
    started = time.process_time()
    assert len(only(records).rows) == (100 if shape == "seeds" else 1000)
    assert time.process_time() - started < 4
