"""A cell: processes that live and die, the gate before the numbers, a record that says all of it."""

import json
import re

import msgspec
import pytest
import torch
from click.testing import CliRunner

import genbench
from genbench import bench, construct, files, provenance
from genbench.bench import Quality, Subject, Terms, facts, lanes, points, speed, sweep
from genbench.errors import Refused, Unavailable
from genbench.lane import Lane
from genbench.noise import Streams
from genbench.speed import table
from genbench.speed.protocol import MOST, Block, Full, Lost
from genbench.store import Store, write_weights
from tests.speed.sleepers import Sleeper
from tests.speed.toys import Folded, ToyConfig

WITHOUT_A_GPU = pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device is here")
SLEEPER = "tests.speed.sleepers:Sleeper"


@pytest.fixture(scope="module")
def digits():
    return genbench.dataset("digits")


def subject(digits, label=SLEEPER, **options):
    return Subject(label=label, data=digits, data_name="digits", **options)


class Fake:
    """A lane that needs no process: `ways` says for each backend how it behaves."""

    ways = {}  # noqa: RUF012
    made = []  # noqa: RUF012
    ended = False

    def __init__(self, job, limit):
        self.job, self.name = job, f"{job.backend},{job.what}"
        self.way = self.ways.get((job.backend, job.what), {})
        self.made.append(self.name)
        self.number = self.made.count(self.name)
        if "unavailable" in self.way:
            raise Unavailable(self.way["unavailable"])
        if "lost" in self.way:
            raise Lost(self.way["lost"])
        if self.way.get("ends at its start") == self.number:
            raise Lost("the process ended: SIGKILL")
        self.stages = {"import": 2.0, "load": 0.5, "first call": self.way.get("first", 0.25)}
        self.notes = ["mode default"]
        self.environment = provenance.environment(torch.device("cpu")) | {"governor": "performance"}
        self.overhead = 1e-7

    def block(self, batch, runs):
        self.live()
        if batch > self.way.get("limit", 8):
            raise Full("that is all")
        slower = 1.0 + self.way.get("drifts", 0.0) * self.number
        seconds = self.way.get("seconds", 0.001) * batch**0.5 * slower
        seconds *= self.way.get("opens", 1.0) if self.number == 1 else 1.0
        return Block(wall=[seconds] * runs, spent=seconds * (runs + 1))

    def ask(self, do, **arguments):
        if do == "gate":
            reason = self.way.get("gate")
            return {"ok": reason is None, "reason": reason, "figures": {"images": 0.5 if reason else 1.0}}
        if do == "explain":
            assert not self.ended
            return self.way.get("why")
        assert do == "memory"
        self.live()
        return {"memory_process": 1e8 * arguments["batch"]}

    def live(self):
        if self.way.get("ends when asked") == self.number:
            raise Lost("the process ended: SIGKILL")

    def end(self):
        self.ended = True


@pytest.fixture
def fake(monkeypatch):
    monkeypatch.setattr(lanes, "Lane", Fake)
    monkeypatch.setattr(Fake, "ways", {})
    monkeypatch.setattr(Fake, "made", [])
    return Fake


def one(record, metric, backend="eager", what="sampler"):
    found = [
        m for m in record.measurements.values() if m.metric == metric and m.protocol.startswith(f"{backend},{what},")
    ]
    assert len(found) == 1, found
    return found[0]


def test_a_cell_becomes_a_record(digits, tmp_path, fake):
    said = []
    store = Store(tmp_path)
    record = speed(subject(digits), Terms(seconds=2.0), store, say=said.append)
    assert store.read_record(record.key) == record
    assert record.settings["measured"] == "speed"
    assert record.environment["governor"] == "performance"
    p50 = one(record, "latency_p50")
    assert (p50.value, p50.n) == (pytest.approx(0.001), 3 * -(-MOST // 3))
    assert p50.protocol == "eager,sampler,cpu,threads=1,batch=1"
    assert one(record, "latency_p99").status == "ok"
    assert one(record, "images_per_second").value == pytest.approx(8 / (0.001 * 8**0.5))
    assert one(record, "best_batch").value == 8
    assert one(record, "seconds_first_call").value == 0.25
    assert "mode default" in one(record, "seconds_first_call").method
    assert record.get("nfe").value == 1
    assert record.get("parameters").value == 20
    assert (record.cost.parameters, record.cost.steps, record.cost.train_seconds, record.cost.flops) == (
        20,
        0,
        0.0,
        None,
    )
    peaks = [m for m in record.measurements.values() if m.metric == "memory_process"]
    assert sorted(m.protocol.rpartition(",")[2] for m in peaks) == ["batch=1", "best batch"]
    assert fake.made == ["eager,sampler"] * 3
    assert said[-1] == f"{SLEEPER} / eager,sampler: process 3"


def test_the_weights_are_those_of_the_quality_record(digits, tmp_path, fake):
    """The record names the sha256 of the weights, and their training seed; each repetition has a key of its own."""
    model = subject(digits).built()
    store = Store(tmp_path)
    records = [speed(subject(digits), Terms(seconds=0.5), store) for _ in range(2)]
    assert {r.model.weights for r in records} == {provenance.weights_digest(model.state_dict())}
    assert [r.seeds["repeat"] for r in records] == [0, 1]
    assert records[0].key != records[1].key
    assert speed(subject(digits), Terms(seconds=0.5), store, again=False) == records[0]


def test_a_suite_that_asks_for_speed_gets_it_for_its_weights(tmp_path, fake):
    """Of the trained models, not of real data and controls; with the configuration that the suite gives; once."""
    (tmp_path / "s.toml").write_text(
        'speed = ["eager"]\nsamples = 50\nlikelihood_images = 10\nmetrics = ["fid"]\n[config.gan]\nhidden = 16\n'
        '[recipe.gan]\nsteps = 3\n[[group]]\ndatasets = ["ring8"]\nmodels = ["gan", "truth"]\n'
    )
    from genbench.cli import main

    arguments = ["run", str(tmp_path / "s.toml"), "--out", str(tmp_path / "runs")]
    for _ in range(2):
        result = CliRunner().invoke(main, arguments)
        assert result.exit_code == 0, result.output
    store = Store(tmp_path / "runs")
    records = [store.read_record(p.stem) for p in store.records.glob("*.json")]
    fast = [r for r in records if r.settings.get("measured") == "speed"]
    assert [r.model.label for r in fast] == ["gan"]
    assert fast[0].model.weights in {r.model.weights for r in records if r is not fast[0]}
    assert fast[0].model.config["hidden"] == 16
    assert fake.made == ["eager,sampler"] * 3


def test_a_sweep_of_a_suite(tmp_path, fake):
    """Once for each weights, whichever of their samplers the suite names."""
    from genbench.cli import main

    (tmp_path / "s.toml").write_text(
        'samples = 50\nlikelihood_images = 10\nmetrics = ["fid"]\n[[group]]\ndatasets = ["digits"]\n'
        f'models = ["{SLEEPER}[slow]", "{SLEEPER}", "gaussian"]\n'
    )
    where = ["--suite", str(tmp_path / "s.toml"), "--out", str(tmp_path / "runs")]
    sweeping = ["speed", *where, "--sweep", "--samples", "50", "--seconds", "0.5"]
    none = CliRunner().invoke(main, sweeping)
    assert none.exit_code == 2
    assert "holds no finished weights" in none.stderr
    ran = CliRunner().invoke(main, ["run", str(tmp_path / "s.toml"), *where[2:]])
    assert ran.exit_code == 0, ran.output
    found = CliRunner().invoke(main, sweeping)
    assert found.exit_code == 0, found.output
    assert "drawn: " in found.stdout
    rows = json.loads(CliRunner().invoke(main, [*sweeping, "--json"]).stdout)["rows"]
    assert sorted(row["line"] for row in rows) == ["as configured", "slow", "slower"]
    assert all(row["quality"]["fid"]["value"] > 0 and row["p50"]["value"] > 0 for row in rows)
    assert not [name for name in fake.made if "gaussian" in name]


def test_what_does_not_pass_the_gate_has_no_number(digits, tmp_path, fake):
    fake.ways = {("compile", "sampler"): {"gate": "share of equal images: 0.5, must be at least 0.95"}}
    record = speed(subject(digits), Terms(backends=("eager", "compile"), seconds=0.5), Store(tmp_path))
    for metric in ("latency_p50", "images_per_second"):
        bad = one(record, metric, "compile")
        assert bad.status == "invalid"
        assert bad.reason == "parity: share of equal images: 0.5, must be at least 0.95"
        assert one(record, metric).status == "ok"
    assert not [m for m in record.measurements if m.startswith("latency_p90[compile")]
    assert not [m for m in record.measurements if m.startswith("memory_process[compile")]
    assert record.report["parity compile,sampler: images"] == 0.5


def test_what_differs_from_process_to_process_is_in_the_interval(digits, tmp_path, fake):
    fake.ways = {("eager", "sampler"): {"drifts": 0.02}}
    record = speed(subject(digits), Terms(seconds=2.0, scenarios=("single",), memory=False), Store(tmp_path))
    assert fake.made == ["eager,sampler"] * 3
    p50 = one(record, "latency_p50")
    assert p50.low < 0.00102 < 0.00106 < p50.high
    alone = Terms(seconds=2.0, scenarios=("single",), memory=False, processes=1)
    assert one(speed(subject(digits), alone, Store(tmp_path)), "latency_p50").low > 0.00106
    assert len(fake.made) == 4


@pytest.mark.parametrize("memory", [False, True])
@pytest.mark.parametrize("way", ["ends at its start", "ends when asked"])
def test_a_later_process_that_ends_is_named(digits, tmp_path, fake, way, memory):
    """Without it the interval is that of the runs alone, and narrower."""
    fake.ways = {("eager", "sampler"): {"drifts": 0.02, way: 2}}
    record = speed(subject(digits), Terms(seconds=2.0, memory=memory), Store(tmp_path))
    assert fake.made == ["eager,sampler"] * 3
    for metric in ("latency_p50", "latency_p90", "images_per_second"):
        found = one(record, metric)
        assert "; 2 processes, " in found.method
        assert "; ended early: process 2: the process ended: SIGKILL" in found.method
        assert metric == "images_per_second" or found.n == 2 * -(-MOST // 3)


def test_a_process_that_sees_memory_alone_takes_no_runs_with_it(digits, tmp_path, fake):
    fake.ways = {("eager", "sampler"): {"ends at its start": 2}}
    record = speed(subject(digits), Terms(seconds=2.0, processes=1), Store(tmp_path))
    assert "ended early" not in one(record, "latency_p50").method
    lost = [m for m in record.measurements.values() if m.metric == "memory_process" and m.status == "unavailable"]
    assert [m.reason for m in lost] == ["the process ended: SIGKILL"]


def test_what_is_not_there_says_why(digits, tmp_path, fake):
    fake.ways = {
        ("compile", "sampler"): {"unavailable": "no loop is unrolled"},
        ("onnx-cpu", "sampler"): {"lost": "the process ended: SIGSEGV"},
    }
    backends = ("cudagraph", "onnx-cuda", "onnx-tensorrt", "compile", "eager", "onnx-cpu")
    terms = Terms(backends=backends, seconds=0.5, scenarios=("single",))
    record = speed(subject(digits), terms, Store(tmp_path))
    for name in ("cudagraph", "onnx-cuda", "onnx-tensorrt"):
        assert one(record, "latency_p50", name).status == "unavailable"
        assert "CUDA device; the model is on cpu" in one(record, "latency_p50", name).reason
        assert f"{name},sampler" not in fake.made, "no process is started for what cannot run"
    assert one(record, "latency_p50", "compile").reason == "no loop is unrolled"
    assert one(record, "latency_p50", "onnx-cpu").reason == "the process ended: SIGSEGV"
    assert one(record, "latency_p50").status == "ok"
    assert not [m for m in record.measurements if m.startswith("images_per_second")]


def test_the_step_stands_in_where_the_sampler_cannot_run(digits, tmp_path, fake):
    fake.ways = {("onnx-cpu", "sampler"): {"unavailable": "its loop would unroll"}}
    label = "tests.speed.toys:Folded"
    terms = Terms(backends=("eager", "onnx-cpu"), seconds=0.5, scenarios=("single",), memory=False, processes=1)
    record = speed(subject(digits, label), terms, Store(tmp_path))
    assert fake.made == ["eager,sampler", "onnx-cpu,sampler", "onnx-cpu,step"]
    assert one(record, "latency_p50", "onnx-cpu").status == "unavailable"
    assert one(record, "latency_p50", "onnx-cpu", "step").status == "ok"
    assert record.get("network_calls").value == record.get("nfe").value == 30


def test_facts_are_counted(digits):
    """30 steps of two 3x3 convolutions, 2 to 8 and 8 to 1 channels on 8x8: 2 * 64 * 9 * (16 + 8) FLOPs each."""
    found = facts(Folded(digits.spec, ToyConfig()))
    assert found.calls == 30
    assert found.flops == 30 * 2 * 64 * 9 * (16 + 8)
    assert found.draws == [("normal", (1, 8, 8))] * 31
    sleeper = facts(Sleeper(digits.spec, Sleeper.Config()))
    assert sleeper.flops == 2 * 3 * 5
    assert sleeper.calls is None


def test_somebody_else_on_the_gpu_is_refused(digits, tmp_path, fake, monkeypatch):
    monkeypatch.setattr(lanes.nvml, "processes", lambda device: 2)
    with pytest.raises(Refused, match="2 other processes compute; its times would be mixed"):
        speed(subject(digits), Terms(seconds=0.5), Store(tmp_path))
    assert not fake.made


def configured(label, data):
    return construct.configured(label, data.spec)


def test_points_of_a_curve(digits):
    """What the model names, other numbers of the same steps, and its own configuration; no point twice."""

    def labels(label, steps=None):
        found = points(label, configured(label, digits), digits.spec, steps)
        assert len({p.config for p in found}) == len(found)
        assert all(construct.configured(p.label, digits.spec) == p.config for p in found)
        return [(p.line, p.label) for p in found]

    assert labels("ddpm[width=16]", [2, 20, 60]) == [  # it has 50 steps at most
        ("ancestral", "ddpm[width=16,ancestral]"),
        ("ddim", "ddpm[width=16,sampler=ddim,sampling_steps=2]"),
        ("ddim", "ddpm[width=16,ddim-20]"),
        ("dpmpp", "ddpm[width=16,sampler=dpmpp,sampling_steps=2]"),
        ("dpmpp", "ddpm[width=16,dpmpp-20]"),
    ]
    assert ("ddim", "ddpm[sampler=ddim,sampling_steps=1]") in labels("ddpm")
    assert ("ddim", "ddpm[sampler=ddim,sampling_steps=7]") in labels("ddpm[sampler=ddim,sampling_steps=7]")
    assert ("as configured", "ddpm[sampler=ddim,eta=0.5]") in labels("ddpm[sampler=ddim,eta=0.5]")
    assert labels("pixelcnn") == [("cached", "pixelcnn[cached]"), ("naive", "pixelcnn[naive]")]
    with pytest.raises(Refused, match="one sampler only"):
        labels("vae")


def test_a_sampler_overwrites_nothing_that_its_label_sets(digits):
    def steps(label, section=None):
        return construct.configured(label, digits.spec, section).sampling_steps

    for label in ("ddpm[ddim-20,sampling_steps=5]", "ddpm[sampling_steps=5,ddim-20]"):
        with pytest.raises(Refused, match="its sampler ddim-20 means sampling_steps=20, not 5"):
            steps(label)
    with pytest.raises(Refused, match=r"eta=0.0, not 0.5"):
        steps("ddpm[ddim-20,eta=0.5]")
    assert steps("ddpm[ddim-20,sampling_steps=20]") == steps("ddpm[ddim-20,width=16]") == 20
    assert steps("ddpm[ddim-20]", {"sampling_steps": 5}) == 20, "what is said of all gives way to the label"
    assert steps("ddpm", {"sampling_steps": 5}) == 5


def test_a_curve_has_a_record_for_each_point(tmp_path, fake):
    ring = genbench.dataset("ring8")
    model = genbench.build("flow-matching", ring.spec, hidden=8, depth=1)
    with torch.no_grad():  # fresh weights move nothing, however many the steps
        for p in model.parameters():
            p.add_(0.2 * Streams(0, [0]).normal(*p.shape)[0])
    write_weights(model, tmp_path / "w.safetensors")
    label, weights = "flow-matching[hidden=8,depth=1]", tmp_path / "w.safetensors"
    of = Subject(label=label, data=ring, data_name="ring8", weights=weights)
    terms = Terms(seconds=0.5, memory=False)
    records = sweep(of, terms, Store(tmp_path), samples=50, steps=[2])
    assert [(r.settings["line"], r.get("nfe").value) for r in records] == [
        ("euler", 2),
        ("heun", 4),
        ("midpoint", 4),
    ]
    assert {r.model.weights for r in records} == {provenance.weights_digest(model.state_dict())}
    for record in records:
        assert record.settings["measured"] == "sweep"
        assert {"fid", "recall", "validity", "latency_p50", "images_per_second"} <= {
            m.metric for m in record.measurements.values() if m.status == "ok"
        }
    assert len({r.get("fid").value for r in records}) == 3
    made = len(fake.made)
    assert sweep(of, terms, Store(tmp_path), samples=50, steps=[2]) == records
    assert len(fake.made) == made, "what was measured is not measured again"
    (path,) = bench.draw(records, tmp_path / "plots")
    drawn = path.read_text()
    assert {"euler", "heun", "midpoint", "fid"} <= set(re.findall(r">([^<]+)</text>", drawn))
    assert bench.draw(records, tmp_path / "again")[0].read_text() == drawn


def test_the_ratio_to_eager_says_what_makes_it_slower(digits, tmp_path, fake):
    fake.ways = {
        ("onnx-cpu", "sampler"): {"seconds": 0.002, "why": "of the time inside its 7 operators Conv 80%"},
        ("compile", "sampler"): {"seconds": 0.0005},
    }
    terms = Terms(backends=("eager", "onnx-cpu", "compile"), seconds=0.5, scenarios=("single",), memory=False)
    record = speed(subject(digits), terms, Store(tmp_path))
    slower, faster = (one(record, "eager_ratio", name) for name in ("onnx-cpu", "compile"))
    assert slower.value == pytest.approx(2.0)
    assert slower.low <= 2.0 <= slower.high
    assert "slower than eager: of the time inside its 7 operators Conv 80%" in slower.method
    assert faster.value == pytest.approx(0.5)
    assert "slower" not in faster.method
    headings, lines = table.printed(table.rows(record))
    place = headings.index("of eager")
    assert [line[place] for line in lines] == ["–", "2 (2 to 2)", "0.5 (0.5 to 0.5)"]
    assert "Conv 80%" in lines[1][-1]


@pytest.mark.parametrize("processes", [1, 9])
def test_who_is_slower_is_known_after_the_last_process(digits, tmp_path, fake, processes):
    """The first process of nine is faster than eager, all together are slower; of one there is no other."""
    opens = 0.5 if processes > 1 else 1.0
    fake.ways = {("onnx-cpu", "sampler"): {"seconds": 0.0018, "opens": opens, "why": "of the time Conv 80%"}}
    terms = Terms(backends=("eager", "onnx-cpu"), seconds=2.0, scenarios=("single",), memory=False, processes=processes)
    record = speed(subject(digits), terms, Store(tmp_path))
    assert one(record, "eager_ratio", "onnx-cpu").method.endswith("slower than eager: of the time Conv 80%")


def test_a_commit_changes_no_key_and_an_edit_does(digits, tmp_path, fake, monkeypatch):
    """Of the code that is timed or that judges: backends, metrics and extractors are found by their names."""
    environment, source = provenance.environment, provenance._source
    onnx, two = "genbench.speed.backends.onnx_cpu", ("eager", "onnx-cpu")
    judged = Quality(line="slow", samples=50)

    def key(edited="", commit="0123", backends=("eager",), quality=None):
        monkeypatch.setattr(provenance, "environment", lambda device: environment(device) | {"commit": commit})
        monkeypatch.setattr(
            provenance,
            "_source",
            lambda module: (source(module)[0] + "\nedited", source(module)[1]) if module == edited else source(module),
        )
        terms = Terms(backends=backends, seconds=0.5, memory=False, processes=1)
        return speed(subject(digits), terms, Store(tmp_path), quality=quality, again=False).key

    assert key(commit="4567+") == key()
    assert key("genbench.lane") != key()
    assert key("genbench.speed.backends.eager") != key()
    assert key(onnx) == key()
    assert key(onnx, backends=two) != key(backends=two)
    assert key("genbench.metrics.recall") == key()
    judging = {key(edited, quality=judged) for edited in ("", "genbench.metrics.recall", "genbench.features.digitnet")}
    assert len(judging) == 3
    of_the_law = {"genbench.metrics.validity", "genbench.metrics.mode_kl"}
    assert not of_the_law & set(bench.cell._judging(judged, digits))
    ring = genbench.dataset("ring8")
    assert of_the_law | {type(ring.spec.law).__module__} <= set(bench.cell._judging(judged, ring))


def test_a_store_is_held_while_it_is_timed_into(tmp_path, fake, monkeypatch):
    """No other run trains or times meanwhile, and none of which one is under way begins to time."""
    from genbench.cli import main

    out, suite = tmp_path / "runs", tmp_path / "s.toml"
    suite.write_text(
        'speed = ["eager"]\nsamples = 50\nlikelihood_images = 10\nmetrics = ["fid"]\n'
        '[recipe.gan]\nsteps = 3\n[[group]]\ndatasets = ["ring8"]\nmodels = ["gan"]\n'
    )
    held = []

    class Held(Fake):
        def __init__(self, job, limit):
            super().__init__(job, limit)
            with pytest.raises(Refused, match="in use by another run"), files.locked(out):
                pass
            held.append(job.model)

    monkeypatch.setattr(lanes, "Lane", Held)
    timing = ["--seconds", "0.5", "--processes", "1", "--scenario", "single", "--out", str(out)]
    verbs = {
        "gan": ["speed", "--suite", str(suite), *timing],
        SLEEPER: ["speed", SLEEPER, "--dataset", "digits", *timing],
    }
    ran = CliRunner().invoke(main, ["run", str(suite), "--out", str(out)])
    assert ran.exit_code == 0, ran.output
    assert set(held) == {"gan"}
    for model, arguments in verbs.items():
        held.clear()
        with files.locked(out):
            refused = CliRunner().invoke(main, arguments)
        assert refused.exit_code == 2, refused.output
        assert "in use by another run" in refused.stderr
        assert not held
        timed = CliRunner().invoke(main, arguments)
        assert timed.exit_code == 0, timed.output
        assert set(held) == {model}
    (tmp_path / "taken").write_text("")
    for arguments in verbs.values():
        nowhere = CliRunner().invoke(main, [*arguments[:-1], str(tmp_path / "taken" / "runs")])
        assert nowhere.exit_code == 2, nowhere.output
        assert "cannot write" in nowhere.stderr


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"backends": ("eagre",)}, "no backend 'eagre'; did you mean eager"),
        ({"backends": ()}, "at least one backend"),
        ({"backends": ("eager", "eager")}, "named twice"),
        ({"scenarios": ("online",)}, "no scenario 'online'"),
        ({"unit": "stepp"}, "no unit 'stepp'; did you mean step"),
        ({"seconds": 0.0}, "above 0"),
        ({"processes": 0}, "1 to 100 times"),
        pytest.param({"device": "cuda"}, "no CUDA device", marks=WITHOUT_A_GPU),
        ({"seconds": float("nan")}, "above 0"),
    ],
)
def test_terms_are_checked(wrong, says):
    with pytest.raises(Refused, match=says):
        Terms(**wrong)


def job(digits, **config):
    inside = ",".join(f"{name}={value}" for name, value in config.items())
    of = subject(digits, f"{SLEEPER}[{inside}]" if inside else SLEEPER)
    model = of.built()
    prepared = lanes.job_of(of, Terms(), model, facts(Sleeper(digits.spec, Sleeper.Config())), "/nonexistent")
    return msgspec.structs.replace(prepared, backend="eager", what="sampler")


def test_a_process_of_its_own(digits):
    """A slow first call stands in its stage and not among the times; what is printed does not disturb the answers."""
    lane = Lane(job(digits, first=0.7, then="print"), limit=120.0)
    try:
        assert lane.stages["first call"] >= 0.7
        assert lane.stages["import"] > 0
        assert lane.overhead < 0.01
        assert lane.environment["threads"] == 1
        block = lane.block(2, 20)
        assert len(block.wall) == 20
        assert max(block.wall) < 0.7
        assert not block.device
        assert lane.ask("memory", batch=1, base=None)["memory_process"] > 2**24
        with pytest.raises(Full, match="noise alone"):
            lane.block(2**40, 1)
        with pytest.raises(Lost, match="AttributeError"):
            lane.ask("dance")
        assert len(lane.block(1, 3).wall) == 3  # it lives on
    finally:
        lane.end()
    lane.end()


def test_a_configuration_may_call_its_fields_as_it_likes(digits):
    of = subject(digits, "tests.speed.sleepers:Namesake[seed=3]")
    model = of.built()
    asked = lanes.job_of(of, Terms(), model, facts(model), "/nonexistent")
    lane = Lane(msgspec.structs.replace(asked, backend="eager", what="sampler"), limit=120.0)
    try:
        assert len(lane.block(1, 3).wall) == 3
    finally:
        lane.end()


@pytest.mark.parametrize(
    ("then", "kind", "says"),
    [("exit", Lost, "the process ended: exit status 7"), ("raise", Lost, "ZeroDivisionError: no sampler is divided")],
)
def test_a_crash_is_a_reason(digits, then, kind, says):
    with pytest.raises(kind, match=says):
        Lane(job(digits, then=then), limit=120.0)


def test_a_process_that_hangs_is_killed(digits):
    with pytest.raises(Lost, match="not done after"):
        Lane(job(digits), limit=0.5)


@pytest.mark.slow
def test_a_real_cell(digits, tmp_path):
    """A sampler that sleeps 20 ms, and fits five in memory: measured to 20 ms, its best batch is 4."""
    label = f"{SLEEPER}[seconds=0.02,then=memory]"
    record = speed(subject(digits, label), Terms(seconds=3.0), Store(tmp_path))
    p50 = one(record, "latency_p50")
    assert 0.02 <= p50.value < 0.03
    assert one(record, "latency_p99").status == "undefined"
    assert one(record, "best_batch").value == 4
    assert "memory ended at batch 8" in one(record, "best_batch").method
    assert one(record, "images_per_second").value == pytest.approx(4 / 0.02, rel=0.3)


def test_the_command(digits, tmp_path, fake):
    from genbench.cli import main

    def call(*arguments):
        return CliRunner().invoke(main, ["speed", *map(str, arguments), "--dataset", "digits", "-o", tmp_path])

    assert "Example:  genbench speed" in call("--help").output
    shown = call(SLEEPER, "--seconds", 0.5, "--backends", "eager,onnx-cpu")
    assert shown.exit_code == 0, shown.output
    assert "onnx-cpu" in shown.output
    found = json.loads(CliRunner().invoke(main, [
        "speed", SLEEPER, "--dataset", "digits", "-o", str(tmp_path), "--seconds", "0.5", "--json",
    ]).stdout)  # fmt: skip
    assert found["rows"][0]["backend"] == "eager"
    assert found["rows"][0]["p50"]["value"] == pytest.approx(0.001)
    for arguments, says in (
        (("vea",), "unknown model 'vea'; did you mean vae"),
        ((SLEEPER, "--backends", "eagre"), "no backend 'eagre'"),
        ((SLEEPER, "--scenario", "online"), "no scenario 'online'"),
        ((SLEEPER, "--weights", tmp_path / "none.safetensors"), "cannot be read as safetensors"),
        ((f"{SLEEPER}[quick]",), "has no sampler 'quick'"),
        (("vae", "--sweep"), "one sampler only"),
        (("ddpm", "--steps", "2"), "beside --sweep"),
        (("ddpm", "--sweep", "--steps", "2,x"), "not of the form 2,5,10"),
        (("vae", "--suite", "quick"), "or --suite alone"),
        (("--suite", "quick", "--sweep", "--steps", "2"), "--steps go with MODEL"),
        (("ddpm[ddim-20,sampling_steps=5]",), "its sampler ddim-20 means sampling_steps=20, not 5"),
        ((SLEEPER, "--device", "cuda"), "no CUDA device"),
    ):
        result = call(*arguments)
        assert result.exit_code == 2, result.output
        lines = result.stderr.strip().splitlines()
        assert len(lines) == 1, result.stderr
        assert says in lines[0]
