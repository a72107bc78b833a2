"""Reading and writing records, and tables from them: `make bench`."""

import pytest

from genbench import record
from leaderboard.load import collect
from leaderboard.table import sections
from tests import synthetic


@pytest.mark.benchmark(group="records")
def test_decode(benchmark):
    data = record.encode(synthetic.make("vae"))
    benchmark(record.decode, data)


@pytest.mark.benchmark(group="records")
def test_encode(benchmark):
    """Validated by reading it back."""
    benchmark(record.encode, synthetic.make("vae"))


@pytest.mark.benchmark(group="records")
def test_collect_a_folder(benchmark, tmp_path):
    """200 records from files."""
    for seed in range(200):
        one = synthetic.make("vae", seed=seed)
        (tmp_path / f"{one.key}.json").write_bytes(record.encode(one))
    found = benchmark(collect, tmp_path)
    assert len(found.records) == 200


@pytest.mark.benchmark(group="records")
def test_tables(benchmark):
    """Of 20 models' names with five seeds each."""
    records = [synthetic.make(f"model {k}", seed=seed) for k in range(20) for seed in range(5)]
    assert len(benchmark(sections, records)) == 1
