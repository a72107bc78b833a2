"""The tables: right numbers, the right things compared, nothing blank."""

import math
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from genbench import catalog, record
from genbench.record import Measurement
from leaderboard.build import build
from leaderboard.columns import COLUMNS, column
from leaderboard.load import collect
from leaderboard.table import MISSING, Row, Section, sections
from leaderboard.terminal import terminal_tables
from leaderboard.typography import compact, duration, fixed, measured, plain
from tests import synthetic


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    folder = tmp_path_factory.mktemp("records")
    synthetic.populate(folder, side=2)
    return folder


def only(found: list[Section]) -> Section:
    assert len(found) == 1
    return found[0]


def row_of(section: Section, label: str) -> Row:
    return next(row for row in section.rows if row.label == label)


def cell_of(section: Section, label: str, metric: str):
    index = next(i for i, heading in enumerate(section.headings) if heading.column.metric == metric)
    return row_of(section, label).cells[index]


def number(metric: str, value: float, half: float = 0.0, **more) -> Measurement:
    return Measurement(metric=metric, value=value, low=value - half, high=value + half, n=100, **more)


def simple(label: str, seed: int = 0, numbers: tuple[Measurement, ...] = (), **more):
    return synthetic.make(label, seed=seed, measurements=numbers, **more)


def printed(folder: Path) -> str:
    """The terminal's tables of a folder of records."""
    console = Console(width=200, color_system=None, force_terminal=True)
    with console.capture() as capture:
        for table in terminal_tables(collect(folder).records):
            console.print(table)
    return capture.get()


# ------------------------------------------------------------------------------------------------ tables


def test_several_seeds_give_their_mean_and_its_t_interval():
    """Values 1, 2, 6: mean 3, s^2 = (4 + 1 + 9) / 2 = 7, t_{2; 0.975} = 4.302653, half = t sqrt(7 / 3) = 6.5724."""
    found = [simple("vae", seed, (number("fid", value, 0.1, protocol="x"),)) for seed, value in enumerate((1, 2, 6))]
    section = only(sections(found))
    cell = cell_of(section, "vae", "fid")
    assert row_of(section, "vae").seeds == cell.seeds == 3
    assert cell.value == pytest.approx(3.0)
    assert cell.high == pytest.approx(3.0 + 6.5724, abs=1e-4)
    assert cell.low == 0.0, "a Fréchet distance is never negative; the interval ends there"


def test_one_seed_keeps_the_interval_of_the_measurement():
    section = only(sections([simple("vae", 0, (Measurement(metric="fid", value=5, low=4, high=9, n=9),))]))
    cell = cell_of(section, "vae", "fid")
    assert (cell.value, cell.low, cell.high, cell.seeds) == (5, 4, 9, 1)


def test_a_unit_scales_value_and_interval_alike():
    section = only(
        sections(
            [simple("vae", 0, (Measurement(metric="seconds_per_image", value=0.002, low=0.001, high=0.004, n=9),))]
        )
    )
    cell = cell_of(section, "vae", "seconds_per_image")
    assert (cell.value, cell.low, cell.high) == pytest.approx((2.0, 1.0, 4.0))


def test_configurations_are_never_averaged_and_say_what_differs():
    found = [
        simple("vae", 0, (number("fid", value, 1),), config={"latent": latent, "width": 8})
        for value, latent in ((3, 4), (9, 16))
    ]
    section = only(sections(found))
    assert sorted(row.variant for row in section.rows) == ["latent = 16", "latent = 4"]
    assert sorted(row.cells[0].value for row in section.rows) == [3, 9]


def test_older_records_of_a_row_give_way_and_are_counted():
    old = simple("vae", 0, (number("fid", 9, 1),), code="old", created="2026-01-01T00:00:00Z")
    older_seed = simple("vae", 1, (number("fid", 9, 1),), code="old", created="2026-01-01T00:00:00Z")
    first = simple("vae", 0, (number("fid", 8, 1),), code="new", created="2026-02-01T00:00:00Z")
    again = simple("vae", 0, (number("fid", 3, 1),), code="new", created="2026-02-02T00:00:00Z")
    section = only(sections([again, old, first, older_seed]))
    assert row_of(section, "vae").records == (again,)
    assert cell_of(section, "vae", "fid").value == 3
    assert section.superseded == 3


def test_two_contents_under_one_name_are_two_datasets():
    other = msgspec.structs.replace(synthetic.digits(), checksums={"test": synthetic.digest("another")})
    found = sections([simple("vae"), simple("gan", dataset=other)])
    assert len(found) == 2
    assert len({section.title for section in found}) == 2


def test_protocols_stand_in_columns_of_their_own():
    numbers = (number("fid", 3, 1, protocol="digitnet@3f2a,n=1000"), number("fid", 4, 1, protocol="pixels,n=200"))
    section = only(sections([simple("vae", 0, numbers), simple("gan", 0, numbers[:1])]))
    assert [heading.protocol for heading in section.headings] == ["digitnet@3f2a,n=1000", "pixels,n=200"]
    assert [cell.status for cell in row_of(section, "gan").cells] == ["ok", "absent"]


def test_bold_goes_to_the_best_and_to_what_no_test_separates_from_it():
    """Halves of 1 are errors of 1 / 1.96: z of vae and gan is 1.3 x 1.96 / sqrt 2 = 1.80, p = 0.072."""
    found = [simple(label, 0, (number("fid", value, 1),)) for label, value in (("vae", 3), ("gan", 4.3), ("ddpm", 9))]
    found.append(simple("copycat", 0, (number("fid", 0.1, 0.05),)))
    found.append(simple("real", 0, (number("fid", 0.1, 0.05),)))
    section = only(sections(found))
    assert {row.label for row in section.rows if row.cells[0].best} == {"vae", "gan"}
    assert [row.label for row in section.rows] == ["real", "copycat", "vae", "gan", "ddpm"]
    ranks = {row.label: row.cells[0].rank for row in section.rows}
    assert ranks == {"real": None, "copycat": None, "vae": (1, 2), "gan": (1, 2), "ddpm": (3, 3)}


def test_bold_follows_the_direction_of_the_metric():
    found = [simple(label, 0, (number("recall", value, 0.01),)) for label, value in (("vae", 0.3), ("gan", 0.6))]
    assert cell_of(only(sections(found)), "gan", "recall").best


def test_kinds_of_likelihood_are_never_ranked_against_each_other():
    kinds = {"vae": ("iwae", -90.0), "nade": ("exact", -85.0), "pixelcnn": ("exact", -80.0), "ddpm": ("vlb", -70.0)}
    found = [
        simple(label, 0, (number("nats", value, 0.5, kind=kind, protocol=kind),))
        for label, (kind, value) in kinds.items()
    ]
    section = only(sections(found))
    assert {row.label for row in section.rows if row.cells[0].best} == {"pixelcnn"}
    assert cell_of(section, "vae", "nats").text.startswith("≥")
    assert cell_of(section, "vae", "nats").kind_text == "IWAE, lower bound"
    assert cell_of(section, "nade", "nats").kind_text == "exact"


def test_a_bound_of_the_likelihood_bounds_the_code_length_from_above():
    section = only(sections([simple("vae", 0, (number("bits_per_dim", 2.0, 0.1, kind="elbo"),))]))
    assert cell_of(section, "vae", "bits_per_dim").text.startswith("≤")
    section = only(sections([simple("rbm", 0, (number("bits_per_dim", 2.0, 0.1, kind="ais"),))]))
    assert cell_of(section, "rbm", "bits_per_dim").text.startswith("≈")


def test_speeds_of_different_machines_are_not_compared():
    slow = {**synthetic.MACHINE, "cpu": "Another CPU"}
    found = [
        simple("vae", 0, (number("seconds_per_image", 0.1, 0.001),)),
        simple("gan", 0, (number("seconds_per_image", 0.2, 0.001),)),
        simple("ddpm", 0, (number("seconds_per_image", 0.01, 0.001),), environment=slow),
    ]
    section = only(sections(found))
    assert {row.label for row in section.rows if row.cells[0].best} == {"vae"}
    assert len(section.hardware) == 2


def test_speeds_of_one_row_on_two_machines_are_not_averaged():
    slow = {**synthetic.MACHINE, "cpu": "Another CPU"}
    found = [
        simple("vae", 0, (number("seconds_per_image", 0.1, 0.001),)),
        simple("vae", 1, (number("seconds_per_image", 0.3, 0.001),), environment=slow),
    ]
    cell = cell_of(only(sections(found)), "vae", "seconds_per_image")
    assert cell.value == pytest.approx(300)
    assert "1 of 2 seeds" in cell.reason
    assert "Another CPU" in cell.reason


def test_a_missing_number_says_why():
    found = [
        simple("vae", 0, (number("fid", 3, 1), number("nats", -80, 1, kind="iwae"))),
        simple("gan", 0, (synthetic.undefined("fid", "all samples are equal"),)),
        simple("ddpm", 0, (Measurement(metric="fid", status="unavailable", reason="no memory"),)),
    ]
    section = only(sections(found))
    assert (cell_of(section, "gan", "fid").text, cell_of(section, "gan", "fid").reason) == (
        "not defined",
        "all samples are equal",
    )
    assert (cell_of(section, "ddpm", "fid").text, cell_of(section, "ddpm", "fid").reason) == (
        "not available",
        "no memory",
    )
    assert (cell_of(section, "gan", "nats").text, cell_of(section, "gan", "nats").reason) == (
        "not defined",
        "gan defines no likelihood",
    )
    assert cell_of(section, "ddpm", "nats").text == "not measured"
    for row in section.rows:
        for cell in row.cells:
            assert (cell.note is None) == (cell.reason == "")
            assert cell.note is None or section.notes[cell.note - 1] == cell.reason


def test_a_failed_seed_is_left_out_visibly():
    found = [simple("vae", seed, (number("fid", 3 + seed, 1),)) for seed in (0, 1)]
    found.append(simple("vae", 2, (Measurement(metric="fid", status="invalid", reason="the loss was not finite"),)))
    cell = cell_of(only(sections(found)), "vae", "fid")
    assert cell.value == pytest.approx(3.5)
    assert cell.reason == "2 of 3 seeds; the others: the loss was not finite"


def test_a_metric_without_any_number_is_named_below_the_table():
    section = only(sections([simple("vae", 0, (synthetic.undefined("validity", "the law is not known"),))]))
    assert section.headings == ()
    assert section.absent == (("Validity", "the law is not known"),)


def test_measurements_without_a_column_are_kept():
    section = only(sections([simple("vae", 0, (number("somebody_score", 3, 1),))]))
    assert [(name, cell.value) for name, cell in row_of(section, "vae").further] == [("somebody_score", 3)]


def test_the_elbo_stands_beside_the_iwae_bound():
    numbers = (number("nats", -80, 1, kind="iwae"), number("elbo", -82, 1))
    cell = cell_of(only(sections([simple("vae", 0, numbers)])), "vae", "nats")
    assert [(title, inner.value) for title, inner in cell.beside] == [("ELBO", -82)]


def test_models_that_ran_elsewhere_are_named():
    found = sections(
        [simple("vae"), simple("rbm", dataset=synthetic.ring8()), simple("vae", dataset=synthetic.ring8())]
    )
    assert {section.title: section.missing for section in found} == {"digits": ("rbm",), "ring8": ()}


def test_a_known_law_goes_before_features_and_densities_have_no_bits():
    numbers = tuple(
        number(name, 0.5, 0.1) for name in ("fid", "high_quality", "bits_per_dim", "nats", "recall", "modes_captured")
    )
    for dataset, expected in (
        (synthetic.ring8(), {"likelihood": "nats", "quality": "high_quality", "diversity": "modes_captured"}),
        (synthetic.digits(), {"likelihood": "bits_per_dim", "quality": "fid", "diversity": "recall"}),
    ):
        section = only(sections([simple("nade", 0, numbers, dataset=dataset)]))
        for axis, metric in expected.items():
            assert section.headings[section.headline(axis)].column.metric == metric


def test_how_fast_weights_sample_stands_in_their_row(tmp_path):
    """A speed record joins the row of its weights on its machine, newest first; its own row otherwise."""

    def fast(of, name, **more):
        numbers = {m.name: m for m in (number("latency_p50", 0.001, 1e-5, protocol="eager"), number("nfe", 1.0))}
        kept = {"settings": {"measured": "speed"}, "measurements": numbers, "key": name * 16, **more}
        return msgspec.structs.replace(of, **kept)

    slow = simple("vae", 0, (number("fid", 3.0), number("nfe", 2.0)))
    other = simple("gan", 0, (number("fid", 4.0),))
    elsewhere = slow.environment | {"cpu": "another"}
    beside = fast(slow, "a", model=msgspec.structs.replace(slow.model, recipe={}))
    section = only(sections([slow, other, beside, fast(other, "b", environment=elsewhere)]))
    assert len(section.rows) == 3
    row = next(row for row in section.rows if row.label == "vae")
    assert (row.records, row.companions) == ((slow,), (beside,))
    assert cell_of(section, "vae", "latency_p50").value == pytest.approx(1.0)
    assert cell_of(section, "vae", "nfe").value == 2.0, "the record's own number goes first"
    assert [cell_of(section, "vae", "fid").value, section.superseded] == [3.0, 0]
    for one in (slow, beside):
        (tmp_path / f"{one.key}.json").write_bytes(record.encode(one))
    built = build(tmp_path, tmp_path / "site").parent
    assert {p.stem for p in (built / "records").iterdir()} == {slow.key, beside.key}


def test_the_order_of_the_records_does_not_matter(records):
    found = list(collect(records).records)
    expected = sections(found)
    random.Random(0).shuffle(found)
    assert sections(found) == expected


@pytest.mark.parametrize("name", list(catalog.METRICS))
def test_columns_agree_with_what_the_metrics_declare(name):
    declared, shown = catalog.resolve("metrics", name), column(name)
    assert shown in COLUMNS
    assert (shown.axis, shown.better) == (declared.axis, declared.better)
    assert (shown.lowest, shown.highest) == declared.range


# ------------------------------------------------------------------------------------------------ typography


@pytest.mark.parametrize(
    ("value", "low", "high", "expected"),
    [
        (12.345, 11.9, 12.8, ("12.35", "[11.90, 12.80]")),
        (123.4, 100, 150, ("123", "[100, 150]")),
        (-0.5, -0.62, -0.38, ("−0.50", "[−0.62, −0.38]")),
        (8, 8, 8, ("8", "[8, 8]")),
        (0.25, 0.25, 0.25, ("0.2500", "[0.2500, 0.2500]")),
        (0.0, 0.0, 0.0, ("0", "[0, 0]")),
        (1.5e-9, 1.4e-9, 1.6e-9, ("1.5e−9", "[1.4e−9, 1.6e−9]")),
        (2.5e9, 1e9, 4e9, ("2.5e9", "[1.0e9, 4.0e9]")),
    ],
)
def test_numbers_keep_the_digits_that_their_interval_supports(value, low, high, expected):
    assert measured(value, low, high) == expected


def test_small_numbers_are_printed_without_lies():
    assert fixed(-0.001, 1) == "0.0", "no minus before a zero"
    assert (compact(950), compact(12_345), compact(999_999), compact(10**400)) == (
        "950", "12.3\u202fk", "1000\u202fk", "more than 10^15",
    )  # fmt: skip
    assert (duration(0.42), duration(12.4), duration(61), duration(150), duration(9000)) == (
        "0.4\u202fs", "12\u202fs", "61\u202fs", "2.5\u202fmin", "2.5\u202fh",
    )  # fmt: skip


def test_foreign_text_loses_what_could_deceive():
    assert plain("a\n b\x1b[31m\u202ec\x00") == "a b\ufffd[31m\ufffdc\ufffd"
    assert plain("x" * 50, 10) == "x" * 9 + "…"
    assert plain("Größe 模型 ∑") == "Größe 模型 ∑"


# ------------------------------------------------------------------------------------------------ the terminal


def test_the_terminal_shows_the_numbers_of_the_table(records):
    found, text = collect(records).records, printed(records)
    section = next(section for section in sections(found) if section.title == "digits")
    cell = cell_of(section, "ddpm", "fid")
    assert cell.text in text
    assert cell.interval in text
    assert "VLB, lower bound" in text
    assert "not defined" in text
    assert MISSING["absent"] in text
    assert math.isfinite(cell.value)


def test_a_clock_may_be_ahead_by_a_day_and_no_more(tmp_path):
    now = datetime.now(UTC)
    for label, hours in (("vae", 23), ("gan", 25)):
        created = f"{now + timedelta(hours=hours):%Y-%m-%dT%H:%M:%SZ}"
        synthetic.write(tmp_path, synthetic.make(label, created=created))
    found = collect(tmp_path)
    assert [one.model.label for one in found.records] == ["vae"]
    assert found.premature
