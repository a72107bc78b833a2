"""Two sets of records side by side: verdicts, pairing, hardware, commits, and the exit codes of a gate."""

import json
import os
import subprocess
import sys

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner

from genbench import comparable, recordsets
from genbench.cli import main
from genbench.compare import Declared, compare
from genbench.errors import Refused
from genbench.record import Measurement, encode
from leaderboard.columns import COLUMNS
from tests import synthetic

DECLARED = {column.metric: Declared(better=column.better, axis=column.axis) for column in COLUMNS}


def number(metric, value, half=1.0, **more):
    return Measurement(metric=metric, value=value, low=value - half, high=value + half, n=100, **more)


def one(metric="fid", value=10.0, half=1.0, seed=0, label="vae", **more):
    measurement = value if isinstance(value, Measurement) else number(metric, value, half)
    kept = {key: more.pop(key) for key in ("per_image", "model", "settings", "dataset") if key in more}
    made = synthetic.make(label, seed=seed, measurements=[measurement], **more)
    return msgspec.structs.replace(made, **kept)


def verdict(before, after, **more):
    (change,) = compare(before, after, DECLARED, **more).changes
    return change.verdict


@pytest.mark.parametrize(
    ("metric", "before", "after", "half", "expected"),
    [
        ("fid", 10.0, 20.0, 1.0, "worse"),
        ("fid", 20.0, 10.0, 1.0, "better"),
        ("fid", 10.0, 10.4, 0.01, "slightly worse"),
        ("fid", 10.0, 12.0, 5.0, "within noise"),
        ("fid", 10.0, 10.0, 1.0, "equal"),
        ("recall", 0.9, 0.5, 0.01, "worse"),
        ("recall", 0.5, 0.9, 0.01, "better"),
        ("fld_gap", 0.0, 9.0, 0.1, "moved"),
        ("somebody_score", 1.0, 9.0, 0.1, "moved"),
        ("kid", 0.0, 0.5, 0.1, "worse"),
    ],
)
def test_verdicts(metric, before, after, half, expected):
    a, b = one(metric, before, half), one(metric, after, half, created="2026-04-01T00:00:00Z", code="second")
    found = compare([a], [b], DECLARED)
    assert [change.verdict for change in found.changes] == [expected]
    assert found.failed == (expected == "worse")


def test_a_threshold_of_its_own_for_a_metric():
    a, b = one("fid", 10.0, 0.1), one("fid", 11.5, 0.1, code="second")
    assert verdict([a], [b]) == "worse"
    assert verdict([a], [b], threshold=0.2) == "slightly worse"
    assert verdict([a], [b], threshold=0.2, thresholds={"fid": 0.1}) == "worse"
    assert verdict([a], [b], thresholds={"fid": 0.2}) == "slightly worse"


def test_holm_runs_over_everything_that_is_compared():
    """z = 2.5 has p = 0.0124: significant alone, not among ten."""
    half, shift = 1.96, 2.5 * np.sqrt(2)
    before = [one("fid", 10.0, half, label=f"m{k}") for k in range(10)]
    after = [one("fid", 10.0 + (shift if k == 0 else 0), half, label=f"m{k}", code="b") for k in range(10)]
    alone = compare(before[:1], after[:1], DECLARED).changes[0]
    assert alone.p == pytest.approx(0.0124, abs=1e-4)
    assert alone.verdict == "worse"
    among = compare(before, after, DECLARED).changes
    assert max(change.p for change in among if change.model == "m0") == pytest.approx(0.124, abs=1e-3)
    assert not any(change.verdict == "worse" for change in among)


def test_one_seed_is_tested_by_the_halves_that_face_each_other():
    """10 [9, 13] against 14 [11, 15]: error = hypot(3, 3) / 1.96 = 2.165, z = 4 / 2.165, p = 0.0646."""
    a = one("fid", Measurement(metric="fid", value=10, low=9, high=13, n=9))
    b = one("fid", Measurement(metric="fid", value=14, low=11, high=15, n=9), code="second")
    (change,) = compare([a], [b], DECLARED).changes
    assert change.p == pytest.approx(0.0646, abs=1e-3)
    assert (change.low, change.high) == (pytest.approx(4 - 4.243, abs=1e-3), pytest.approx(4 + 4.243, abs=1e-3))
    assert change.method == "z from the intervals"


def test_one_seed_trained_anew_is_said_to_lack_the_noise_of_training():
    a, b = one("fid", 10.0), one("fid", 20.0, code="second")
    assert "the noise of training is not in the test" in compare([a], [b], DECLARED).notes[0]
    same = msgspec.structs.replace(b, model=msgspec.structs.replace(b.model, weights=a.model.weights))
    assert compare([a], [same], DECLARED).notes == ()


def test_three_seeds_trained_anew_are_tested_by_their_spread():
    before = [one("fid", value, 0.01, seed) for seed, value in enumerate((10, 20, 30))]
    after = [one("fid", value, 0.01, seed, code="second") for seed, value in enumerate((20, 30, 40))]
    (change,) = compare(before, after, DECLARED).changes
    assert (change.before, change.after, change.seeds) == (20, 30, 3)
    assert change.method == "Welch over seeds (3, 3)"
    assert change.verdict == "within noise", "ten apart with a spread of ten"


def test_the_same_weights_are_tested_without_the_spread_of_the_training():
    before = [one("fid", value, 0.01, seed) for seed, value in enumerate((10, 20, 30))]
    after = [
        msgspec.structs.replace(one("fid", value, 0.01, seed, code="second"), model=before[seed].model)
        for seed, value in enumerate((20, 30, 40))
    ]
    (change,) = compare(before, after, DECLARED).changes
    assert (change.verdict, change.method) == ("worse", "z from the intervals")


def test_five_seeds_count_in_pairs():
    rng = np.random.default_rng(0)
    base = 100 * rng.normal(size=5)
    before = [one("kid", value, 0.01, seed) for seed, value in enumerate(base)]
    after = [one("kid", v + 20 + rng.normal(), 0.01, s, code="second") for s, v in enumerate(base)]
    (change,) = compare(before, after, DECLARED).changes
    assert (change.verdict, change.method) == ("worse", "pairs of seeds (5)")


def test_images_count_in_pairs():
    """Per-image nats that differ by 0.1 +- 0.01 where the images differ by 30: only pairs can see it."""
    rng = np.random.default_rng(1)
    nats = -100 + 30 * rng.normal(size=100)
    worse = nats - 0.1 - 0.01 * rng.normal(size=100)
    sides = []
    for values, code in ((nats, "a"), (worse, "b")):
        mean, half = float(values.mean()), 6.0
        measurement = Measurement(metric="nats", value=mean, low=mean - half, high=mean + half, n=100, kind="exact")
        sides.append(one("nats", measurement, code=code, per_image={"nats": list(values)}))
    (change,) = compare([sides[0]], [sides[1]], DECLARED, threshold=0.0).changes
    assert (change.verdict, change.method) == ("worse", "pairs of images (100)")
    assert change.difference == pytest.approx(-0.1, abs=0.01)
    unpaired = msgspec.structs.replace(sides[1], per_image={})
    assert verdict([sides[0]], [unpaired], threshold=0.0) == "within noise"


def test_speed_is_never_compared_across_hardware():
    other = {**synthetic.MACHINE, "cpu": "Another CPU"}
    a = one("seconds_per_image", 0.1, 0.001)
    slower = one("seconds_per_image", 0.9, 0.001, code="second")
    elsewhere = one("seconds_per_image", 0.9, 0.001, code="second", environment=other)
    assert verdict([a], [slower]) == "worse"
    found = compare([a], [elsewhere], DECLARED)
    assert (found.changes, found.failed) == ((), False)
    (note,) = (note for note in found.notes if note.startswith("speed is never compared across hardware"))
    assert "before on Example CPU" in note
    assert "after on Another CPU" in note
    assert verdict([one("fid", 1, 0.1)], [one("fid", 9, 0.1, environment=other)]) == "worse", "quality is"


@pytest.mark.parametrize("measured", ["speed", "sweep"])
@pytest.mark.parametrize("metric", ["latency_p50", "latency_p95", "device_p50", "eager_ratio", "seconds_import"])
def test_all_that_a_measurement_of_speed_says_is_speed(metric, measured):
    """Also what stands in no table, and so declares no axis."""
    other = {**synthetic.MACHINE, "cpu": "Another CPU"}
    before, after = (
        {"settings": {"measured": measured}, "environment": environment} for environment in (synthetic.MACHINE, other)
    )
    a = one(metric, 0.1, 0.001, **before)
    found = compare([a], [one(metric, 0.9, 0.001, code="second", **after)], DECLARED)
    assert found.changes == ()
    assert any(note.startswith("speed is never compared across hardware") for note in found.notes)
    slower = one(metric, 0.9, 0.001, code="second", **before)
    assert verdict([a], [slower]) in ("worse", "moved"), "on the same machine it is compared"
    elsewhere = one("somebody_score", 0.9, 0.001, code="second", environment=other)
    assert verdict([one("somebody_score", 0.1, 0.001)], [elsewhere]) == "moved", "of samples it is compared"


def observed(metric, value, method="bytes at the peak; a single run", **more):
    settings = {"measured": "speed"}
    measurement = Measurement(metric=metric, value=value, low=value, high=value, n=1, method=method)
    return one(metric, measurement, settings=settings, **more)


@pytest.mark.parametrize("metric", ["memory_process", "joules_per_image", "seconds_first_call"])
def test_what_was_observed_once_is_not_compared(metric):
    found = compare([observed(metric, 100.0)], [observed(metric, 106.0, code="b")], DECLARED)
    assert (found.changes, found.failed) == ((), False)
    assert f"{metric}: observed once, so that its noise is not known; not compared" in found.notes
    same = [observed(metric, 100.0, seed=seed) for seed in range(3)]
    assert compare(same, [observed(metric, 106.0, seed=s, code="b") for s in range(3)], DECLARED).changes == ()


def test_what_was_counted_has_no_noise():
    a, b = (observed("nfe", value, "counted", code=code) for value, code in ((20.0, "a"), (21.0, "b")))
    (change,) = compare([a], [b], DECLARED).changes
    assert (change.verdict, change.p) == ("moved", 0.0)


def test_what_was_observed_once_for_each_of_several_seeds_is_compared_by_its_spread():
    """Also where the weights are the same on both sides: without its spread its noise would not be known."""

    def side(start, code):
        made = [observed("memory_process", start + step, seed=seed, code=code) for seed, step in enumerate((0, 6, 12))]
        return [msgspec.structs.replace(x, model=msgspec.structs.replace(x.model, weights="0" * 64)) for x in made]

    (change,) = compare(side(100.0, "a"), side(106.0, "b"), DECLARED).changes
    assert (change.verdict, change.method) == ("within noise", "Welch over seeds (3, 3)")
    assert verdict(side(100.0, "a"), side(200.0, "b")) == "worse"


def test_what_a_measurement_of_speed_observes_once_says_so(tmp_path, monkeypatch):
    import genbench
    from genbench.bench import Terms, lanes, speed
    from genbench.store import Store
    from tests.speed.test_bench import Fake, subject

    monkeypatch.setattr(lanes, "Lane", Fake)
    monkeypatch.setattr(Fake, "made", [])
    made = speed(subject(genbench.dataset("digits")), Terms(seconds=0.5), Store(tmp_path))
    marked = {m.metric for m in made.measurements.values() if comparable.observed_once(m)}
    assert marked == {"memory_process", "best_batch", "seconds_import", "seconds_load", "seconds_first_call"}


def test_what_one_side_lacks_is_listed():
    found = compare(
        [one(label="vae"), one(label="gan")], [one(label="vae", code="b"), one(label="ddpm", code="b")], DECLARED
    )
    assert (found.only_before, found.only_after) == (("gan on digits",), ("ddpm on digits",))
    assert [change.model for change in found.changes] == ["vae"]
    found = compare([one("fid")], [one("kid", code="b")], DECLARED)
    assert {"fid: only before", "kid: only after"} <= {*found.notes}


def test_other_data_other_kinds_other_protocols_are_not_compared():
    other = msgspec.structs.replace(synthetic.digits(), checksums={"test": synthetic.digest("another")})
    assert "the data differ" in compare([one()], [one(dataset=other)], DECLARED).notes[0]
    kinds = [one("nats", number("nats", -9, kind=kind)) for kind in ("exact", "elbo")]
    assert "another kind" in " ".join(compare(kinds[:1], kinds[1:], DECLARED).notes)
    protocols = [one("fid", number("fid", 9, protocol=p)) for p in ("digitnet,n=1000", "digitnet,n=500")]
    assert compare(protocols[:1], protocols[1:], DECLARED).changes == ()


def test_another_recipe_matches_where_it_leaves_no_choice():
    def trained(steps, value, code):
        made = one("fid", value, 0.1, code=code)
        recipe = {"steps": steps, "batch_size": 128}
        return msgspec.structs.replace(made, model=msgspec.structs.replace(made.model, recipe=recipe))

    found = compare([trained(100, 9, "a")], [trained(200, 5, "b")], DECLARED)
    assert [change.verdict for change in found.changes] == ["better"]
    assert "recipe differs" in found.notes[0]
    assert verdict([trained(100, 9, "a")], [trained(100, 9, "b"), trained(200, 5, "b")]) == "equal"
    found = compare([trained(50, 9, "a")], [trained(100, 9, "b"), trained(200, 5, "b")], DECLARED)
    assert (found.changes, found.only_before, found.only_after) == ((), (), ())
    assert found.notes == ("vae on digits: not compared, for these differ: steps",)


def test_rows_of_one_name_that_differ_in_their_settings_say_in_which():
    sides = [[one(settings={"samples": samples, "budget": 1.0})] for samples in (200, 1000)]
    found = compare(*sides, DECLARED)
    assert (found.changes, found.only_before, found.only_after) == ((), (), ())
    assert found.notes == ("vae on digits: not compared, for these differ: samples",)


def test_a_number_that_became_invalid_fails():
    broken = Measurement(metric="fid", status="invalid", reason="the loss was not finite")
    found = compare([one()], [one("fid", broken, code="b")], DECLARED)
    assert (found.changes[0].verdict, found.changes[0].reason) == ("lost", "the loss was not finite")
    assert found.failed
    gone = Measurement(metric="fid", status="unavailable", reason="no weights")
    found = compare([one()], [one("fid", gone, code="b")], DECLARED)
    assert not found.failed
    assert "vae on digits: fid has no number after: no weights" in found.notes


def test_without_a_seed_in_common_any_number_that_became_invalid_fails():
    broken = Measurement(metric="fid", status="invalid", reason="the loss was not finite")
    found = compare([one(seed=0)], [one("fid", broken, seed=5, code="b")], DECLARED)
    assert [change.verdict for change in found.changes] == ["lost"]
    half = [one("fid", 10.0, seed=5, code="b"), one("fid", broken, seed=6, code="b")]
    assert compare([one(seed=0)], half, DECLARED).failed
    assert not compare([one("fid", broken, seed=0)], [one("fid", broken, seed=5, code="b")], DECLARED).failed
    assert not compare([one(seed=5)], half, DECLARED).failed, "of seeds in common no other counts"
    before = [one("fid", broken, seed=6), one(seed=5)]
    assert not compare(before, half, DECLARED).failed, "it was no number before"
    gone = Measurement(metric="fid", status="undefined", reason="too few samples")
    assert not compare([one(seed=0)], [one("fid", gone, seed=5, code="b")], DECLARED).failed


def test_quality_speed_and_a_sweep_of_a_model_are_three_rows():
    sides = [
        [
            one("fid", value, 0.1, code=code, created=f"2026-03-0{day}T00:00:00Z", settings=settings)
            for day, settings in enumerate(({}, {"measured": "speed"}, {"measured": "sweep"}), 1)
        ]
        for value, code in ((10.0, "a"), (20.0, "b"))
    ]
    found = compare(*sides, DECLARED)
    assert sorted((change.model, change.measured) for change in found.changes) == [
        ("vae", "quality"), ("vae", "speed"), ("vae", "sweep"),
    ]  # fmt: skip
    assert found.summary == "3 numbers of 3 rows compared: 3 worse"
    assert compare(sides[0], [], DECLARED).only_before == (
        "vae on digits",
        "vae on digits, speed",
        "vae on digits, sweep",
    )


def test_configurations_of_one_label_are_rows_of_their_own():
    sides = [[one("fid", 10.0, code=code, config={"width": width}) for width in (32, 64)] for code in "ab"]
    assert compare(*sides, DECLARED).rows == 2


def test_only_seeds_that_both_have_are_compared():
    before = [one("fid", 10.0, 0.1, seed) for seed in (0, 1)]
    after = [one("fid", 10.0, 0.1, 0, code="b"), one("fid", 99.0, 0.1, 7, code="b")]
    (change,) = compare(before, after, DECLARED).changes
    assert (change.verdict, change.seeds) == ("equal", 1)
    found = compare([one("fid", 10.0, 0.1, 0)], [one("fid", 10.0, 0.1, 5, code="b")], DECLARED)
    assert "no training seed in common" in found.notes[0]


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"metrics": ["fdi"]}, "no record has the metric 'fdi'; there are fid"),
        ({"threshold": -1.0}, "threshold is -1"),
        ({"thresholds": {"fid": float("nan")}}, "threshold of fid is nan"),
    ],
)
def test_bad_input_is_refused(more, sentence):
    with pytest.raises(Refused, match=sentence):
        compare([one()], [one()], DECLARED, **more)


# ------------------------------------------------------------------------------------------------ where records are


@pytest.fixture
def folders(tmp_path):
    synthetic.write(tmp_path / "before", one("fid", 10.0, 0.1))
    synthetic.write(tmp_path / "after", one("fid", 20.0, 0.1, code="b"))
    return tmp_path


def git(folder, *arguments):
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "init.defaultBranch=main")
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def repository(folders, monkeypatch):
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(folders)
    (folders / "before" / "link.json").symlink_to(folders / "after")
    (folders / "before" / "report.json").write_text('[{"metric": "fid"}]')
    (folders / "before" / "other.json").write_text('{"name": "no record"}')
    git(folders, "init", "-q")
    git(folders, "add", "before")
    git(folders, "commit", "-q", "-m", "Before")
    return folders


def test_records_come_from_files_folders_and_commits(repository):
    expected = [one("fid", 10.0, 0.1)]
    assert recordsets.load(str(repository / "before")) == expected
    assert recordsets.load(str(next((repository / "before").glob("[0-9a-f]*.json")))) == expected
    assert recordsets.load("main:before") == recordsets.load("HEAD:before/") == expected
    assert recordsets.load(f"main:before/{expected[0].key}.json") == expected
    (repository / "inner").mkdir()
    (repository / "before").rename(repository / "gone")
    assert recordsets.load("main:before") == expected


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("nowhere", "nothing at nowhere"),
        ("--output=x:before", "no name of a commit"),
        ("main..main:before", "no name of a commit"),
        ("main;touch x:before", "no name of a commit"),
        ("main:../before", "no path inside"),
        ("main:/before", "no path inside"),
        ("main:", "no path inside"),
        ("missing:before", "no commit of this repository"),
        ("main:after", "no records at main:after"),
        ("main:*", "no records"),
    ],
)
def test_what_is_no_set_of_records_is_refused(repository, name, sentence):
    with pytest.raises(Refused, match=sentence):
        recordsets.load(name)


def test_an_invalid_record_is_refused(repository):
    (repository / "before" / "broken.json").write_text('{"measurements": {}, "model": 3}')
    with pytest.raises(Refused, match=r"broken\.json is not a valid record"):
        recordsets.load("before")
    (repository / "before" / "broken.json").write_text("{")
    with pytest.raises(Refused, match=r"broken\.json is not a valid record"):
        recordsets.load("before")
    git(repository, "add", "before")
    git(repository, "commit", "-q", "-m", "Broken")
    with pytest.raises(Refused, match=r"HEAD:before/broken\.json is not a valid record"):
        recordsets.load("HEAD:before")
    (repository / "before" / "broken.json").write_text("[" * 100_000)
    recordsets.load("before")
    (repository / "before" / "broken.json").write_bytes(b" " * (5 * 2**20))
    with pytest.raises(Refused, match="a record has at most"):
        recordsets.load("before")


def test_two_contents_of_one_key_are_refused(folders):
    twin = msgspec.structs.replace(one("fid", 10.0, 0.1), created="2026-05-05T00:00:00Z")
    (folders / "before" / "twin.json").write_bytes(encode(twin))
    with pytest.raises(Refused, match="two different records with the key"):
        recordsets.load(str(folders / "before"))


# ------------------------------------------------------------------------------------------------ the verb


def call(*arguments):
    return CliRunner().invoke(main, ["compare", *map(str, arguments)])


def test_exit_codes(repository):
    assert call("before", "before").exit_code == 0
    worse = call("main:before", "after")
    assert worse.exit_code == 1
    assert "1 numbers of 1 rows compared: 1 worse" in worse.output
    assert call("after", "main:before").exit_code == 0
    assert call("main:before", "after", "--threshold", "2").exit_code == 0
    assert call("main:before", "after", "--threshold", "2", "--threshold", "fid=0.5").exit_code == 1
    assert call("main:before", "after", "--metric", "recall").exit_code == 2
    assert call("main:before", "nowhere").exit_code == 2
    assert call("main:before", "after", "--threshold", "fid").exit_code == 2


def test_the_table_says_what_was_measured(tmp_path):
    for folder, value, code in (("a", 10.0, "a"), ("b", 20.0, "b")):
        for settings in ({}, {"measured": "sweep"}):
            synthetic.write(tmp_path / folder, one("fid", value, 0.1, code=code + str(settings), settings=settings))
    lines = call(tmp_path / "a", tmp_path / "b").output.splitlines()
    assert ["quality" in line for line in lines if "vae" in line and "worse" in line] == [True, False]
    assert ["sweep" in line for line in lines if "vae" in line and "worse" in line] == [False, True]


def test_json_holds_everything(repository):
    found = call("main:before", "after", "--json")
    content = json.loads(found.output)
    assert found.exit_code == 1
    assert content["failed"] is True
    (change,) = content["changes"]
    assert (change["metric"], change["before"], change["after"], change["relative"]) == ("fid", 10.0, 20.0, 1.0)


def test_names_from_records_cannot_speak_to_the_terminal(folders):
    bad = one("fid", 20.0, 0.1, label="vae\x1b[31m\u202e", code="b")
    synthetic.write(folders / "after", bad)
    output = call(folders / "before", folders / "after", "--all").output
    assert not set(output) & set("\x1b\u202e")


def test_the_comparison_needs_no_torch():
    code = "import sys, genbench.compare, genbench.recordsets; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("seeds", "shift", "least", "most"), [(3, 0.0, 0.0, 0.05), (6, 0.0, 0.0, 0.05), (6, 0.5, 0.95, 1.0)]
)
def test_the_gate_is_quiet_without_a_change_and_sees_a_large_one(seeds, shift, least, most):
    """Ten models trained anew, whose FID varies by 5% over the seeds and by 2% over the samples; 200 comparisons."""
    rng = np.random.default_rng(seeds)
    base = {
        (k, s, c): synthetic.make(f"m{k}", seed=s, measurements=[], code=c)
        for k in range(10)
        for s in range(seeds)
        for c in "ab"
    }

    def measured(k, s, code):
        value = 100.0 * (1 + shift * (k == 0 and code == "b")) + 5 * rng.normal() + 2 * rng.normal()
        return msgspec.structs.replace(base[k, s, code], measurements={"fid": number("fid", value, 3.92)})

    failed = 0
    for _ in range(200):
        sides = [[measured(k, s, code) for k in range(10) for s in range(seeds)] for code in "ab"]
        failed += compare(*sides, DECLARED).failed
    assert least - 0.05 <= failed / 200 <= most + 0.03
