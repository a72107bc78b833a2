"""Controlled damage: that it is what it says, and that metrics see and miss what the literature says they do."""

import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner

import genbench
from genbench import stress
from genbench.cli import main
from genbench.errors import Refused
from genbench.record import Measurement
from genbench.store import Store
from leaderboard.pathology import differs, matrices, plot


@pytest.fixture(scope="module")
def ward():
    data, pool, labels = stress.divided(genbench.dataset("digits"))
    return data, pool, labels


def damaged(ward, pathology, dose):
    return stress.samples_of(stress.Case("digits", pathology, dose), *ward)


def rows(x):
    return [image.numpy().tobytes() for image in x]


def test_the_pool_is_disjoint_from_what_it_is_compared_with(ward):
    data, pool, labels = ward
    original = genbench.dataset("digits")
    assert len(pool) == len(labels) == 600
    assert sorted(rows(pool) + rows(data.images("train"))) == sorted(rows(original.images("train")))
    assert data.checksum("test") == original.checksum("test")


def test_damage_is_what_it_says(ward):
    data, pool, labels = ward
    healthy = damaged(ward, stress.NONE, 0.0)
    n = len(healthy)
    assert n == 300
    label_of = dict(zip(rows(pool), labels.tolist(), strict=True))

    share = (damaged(ward, "noise", 0.3) != healthy).float().mean().item()
    assert share == pytest.approx(0.3 * 16 / 17, abs=0.01)
    blurred = damaged(ward, "blur", 2.0).float()
    assert blurred.mean().item() == pytest.approx(healthy.float().mean().item(), rel=0.15)
    assert blurred.std(dim=(1, 2, 3)).mean() < 0.6 * healthy.float().std(dim=(1, 2, 3)).mean()
    for name in ("outliers", "copy-train", "collapse-inside"):
        changed = (damaged(ward, name, 0.25) != healthy).flatten(1).any(dim=1).sum().item()
        assert 0.2 * n <= changed <= 0.25 * n, name
    assert set(rows(damaged(ward, "copy-train", 1.0))) <= set(rows(data.images("train")))

    assert {label_of[row] for row in rows(damaged(ward, "drop-modes", 3))} == set(range(3, 10))
    collapsed = damaged(ward, "collapse-inside", 1.0)
    assert len(set(rows(collapsed))) == 10
    assert [label_of[row] for row in rows(collapsed)] == labels[:n].tolist()
    assert len(set(rows(damaged(ward, "duplicate", 5)))) == n // 5
    counts = np.bincount([label_of[row] for row in rows(damaged(ward, "imbalance", 5))])
    assert counts[0] / counts[9] == pytest.approx(5, rel=0.2)
    assert len(damaged(ward, "fewer", 3)) == 100


def test_damage_is_repeatable_and_leaves_the_pool_alone(ward):
    before = ward[1].clone()
    for name, pathology in stress.PATHOLOGIES.items():
        dose = pathology.doses[-1]
        assert torch.equal(damaged(ward, name, dose), damaged(ward, name, dose)), name
    assert torch.equal(ward[1], before)


@pytest.fixture(scope="module")
def responses(tmp_path_factory):
    """metric -> pathology -> response on digits."""
    store = Store(tmp_path_factory.mktemp("stress"))
    records = stress.stress(
        store,
        datasets=["digits"],
        pathologies=["collapse-inside", "copy-train", "fewer"],
        metrics=["inception_score", "recall", "coverage", "fid", "vendi", "authenticity"],
        load=genbench.dataset,
        progress=False,
    )
    stamps = {path: path.stat().st_mtime_ns for path in store.records.iterdir()}
    again = stress.stress(
        store,
        datasets=["digits"],
        pathologies=["collapse-inside", "copy-train", "fewer"],
        metrics=["inception_score", "recall", "coverage", "fid", "vendi", "authenticity"],
        load=genbench.dataset,
        progress=False,
    )
    assert again == records
    assert stamps == {path: path.stat().st_mtime_ns for path in store.records.iterdir()}
    (matrix,) = matrices(records)
    return matrix.responses


def test_inception_score_does_not_see_collapse_inside_a_class(responses):
    """Barratt and Sharma (2018): the score looks at the classes' shares and at certainty, at nothing inside a class."""
    assert responses["inception_score"]["collapse-inside"].verdict in ("blind", "better")
    for metric in ("recall", "coverage", "fid", "vendi"):
        assert responses[metric]["collapse-inside"].verdict == "worse", metric


def test_copies_of_the_training_set_are_invisible_to_fid_and_visible_to_authenticity(responses):
    assert responses["fid"]["copy-train"].verdict == "blind"
    assert responses["authenticity"]["copy-train"].verdict == "worse"
    assert responses["authenticity"]["copy-train"].monotone


def test_fid_is_biased_upward_in_small_samples(responses):
    """Chong and Forsyth (2020)."""
    assert responses["fid"]["fewer"].verdict == "worse"
    assert responses["fid"]["fewer"].monotone


def test_one_outlier_among_the_real_data_can_lift_precision():
    """Naeem and others (2020): its ball reaches to its far neighbours and takes in what lies on the way."""
    rng = np.random.default_rng(0)
    real, fake = rng.normal(size=(500, 2)), rng.uniform(8, 12, size=(500, 2))
    assert genbench.metrics.precision(real=real, fake=fake) == 0.0
    with_outlier = np.concatenate([real, [[20.0, 20.0]]])
    assert genbench.metrics.precision(real=with_outlier, fake=fake) > 0.9
    assert genbench.metrics.density(real=with_outlier, fake=fake) < 0.3


def test_what_counts_as_noticed():
    def point(value, low, high):
        return Measurement(metric="m", value=value, low=low, high=high)

    healthy = point(1.0, 0.9, 1.3)
    assert not differs(healthy, point(1.4, 1.1, 1.5))  # 0.4 against hypot(0.3, 0.3)
    assert differs(healthy, point(1.5, 1.2, 1.6))
    assert differs(healthy, point(0.8, 0.7, 0.85))  # 0.2 against hypot(0.1, 0.05)
    assert not differs(healthy, healthy)


def test_plots_are_bytes_that_repeat(responses):
    panels = list(responses["fid"].values())
    drawn = plot("fid", panels)
    assert drawn == plot("fid", panels)
    assert b"copy-train: blind" in drawn


def test_the_command(tmp_path):
    arguments = ["stress", "--metric", "recall", "--dataset", "digits", "--pathology", "duplicate"]
    done = CliRunner().invoke(main, [*arguments, "--out", str(tmp_path), "--json"])
    assert done.exit_code == 0, done.output
    (found,) = json.loads(done.stdout)
    assert found["metrics"]["recall"]["duplicate"]["verdict"] == "worse"
    for wrong, says in (
        (["--pathology", "blurr"], "unknown pathology 'blurr'; did you mean blur"),
        (["--metric", "recal"], "unknown metric 'recal'; did you mean recall"),
        (["--dataset", "ring8"], "stress needs images with labels"),
    ):
        done = CliRunner().invoke(main, ["stress", *wrong, "--out", str(tmp_path)])
        assert done.exit_code == 2
        assert says in done.stderr


def test_a_dataset_without_labels_is_refused():
    with pytest.raises(Refused, match="patches has none"):
        stress.divided(genbench.dataset("patches"))
