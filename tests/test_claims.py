"""What the page of the claims says of a claim: by hand, for pairs that show it, contradict it, or leave it open."""

import re

import msgspec
import pytest

from leaderboard.claims import CLAIMS, Judged, judged
from leaderboard.columns import COLUMNS
from leaderboard.load import Collection
from leaderboard.pages import claims
from leaderboard.site import Site
from leaderboard.table import sections
from tests import synthetic
from tests.test_tables import number, row


def found(records, anchor="gans-sharp") -> Judged:
    return next(one for one in judged(sections(records)) if one.claim.anchor == anchor)


def precision(**values):
    return [row(name.replace("_", "-"), number("precision", value, 0.05)) for name, value in values.items()]


@pytest.mark.parametrize(
    ("values", "counts", "verdict"),
    [
        ({"gan": 0.9, "dcgan": 0.8, "vae": 0.5}, (2, 0, 0), "reproduced"),
        ({"gan": 0.9, "dcgan": 0.8, "wgan_gp": 0.52, "vae": 0.5}, (2, 0, 1), "largely"),
        ({"gan": 0.9, "dcgan": 0.51, "vae": 0.5}, (1, 0, 1), "in part"),
        ({"gan": 0.9, "dcgan": 0.2, "vae": 0.5}, (1, 1, 0), "not reproduced"),
        ({"gan": 0.51, "vae": 0.5}, (0, 0, 1), "open"),
        ({"gan": 0.9, "ddpm": 0.5}, (0, 0, 0), "no data"),
    ],
)
def test_pairs_show_contradict_or_leave_open(values, counts, verdict):
    one = found(precision(**values))
    here = list(one.here.values())
    outcomes = ("shown", "contradicted", "open")
    assert tuple(sum(part.count(outcome) for part in here) for outcome in outcomes) == counts
    assert one.verdict == verdict
    assert all(part.verdict == verdict for part in here)


def test_a_claim_of_less_is_shown_by_less():
    values = [row(name, number("recall", value, 0.05)) for name, value in (("gan", 0.2), ("nade", 0.9), ("vae", 0.1))]
    one = found(values, "gans-collapse")
    (here,) = one.here.values()
    assert [(pair.other.label, pair.outcome) for pair in here.pairs] == [("nade", "shown"), ("vae", "contradicted")]
    assert [pair.other.label for pair in here.against] == ["vae"]


def test_pairs_of_one_dataset_are_corrected_together():
    """Two p values of 0.03 are each below 0.05, and both above it after Holm's correction."""
    gap = 2.17 * (2 * (0.05 / 1.96) ** 2) ** 0.5
    assert found(precision(gan=0.5 + gap, vae=0.5)).verdict == "reproduced"
    assert found(precision(gan=0.5 + gap, dcgan=0.5 + gap, vae=0.5)).verdict == "open"


def test_speeds_of_two_machines_are_no_pair():
    def timed(label, value, cpu):
        made = row(label, number("seconds_per_image", value, 0.01 * value))
        return msgspec.structs.replace(made, environment={**made.environment, "cpu": cpu})

    same = [timed("gan", 1e-5, "one"), timed("nade", 1e-3, "one"), timed("pixelcnn", 1e-3, "another")]
    (here,) = found(same, "gans-fast").here.values()
    assert [pair.other.label for pair in here.pairs] == ["nade"]
    assert [row.label for row, _ in here.others] == ["nade"], "no number stands there that takes no part"
    assert not found(same[::2], "gans-fast").here


def test_claims_name_metrics_and_directions_that_there_are():
    metrics = {column.metric: column for column in COLUMNS}
    assert all(metrics[claim.metric].better for claim in CLAIMS)
    assert len({claim.anchor for claim in CLAIMS}) == len(CLAIMS)


def test_the_page_has_every_claim_and_the_numbers_of_those_with_data():
    records = tuple(precision(gan=0.9, dcgan=0.2, vae=0.5))
    site = Site(Collection(records=records, folders={}, invalid=()), lambda path, data: None)
    (page,) = claims.pages(site)
    assert all(claim.says in page.html for claim in CLAIMS)
    section = re.search(r'<section aria-labelledby="gans-sharp">.*?</section>', page.html, re.DOTALL)
    assert section is not None
    assert all(words in section[0] for words in ("Not reproduced.", "1 of 2 show it", "against: dcgan and vae", "0.90"))
    assert synthetic.digits().label in page.html
