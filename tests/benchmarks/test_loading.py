"""How long the embedded and the generated datasets take to be there."""

import pytest

from genbench import catalog


@pytest.mark.parametrize("name", ["digits", "glyphs", "grid25", "patches"])
def test_load(benchmark, name):
    load = catalog.resolve("datasets", name)
    data = benchmark.pedantic(getattr(load, "__wrapped__", load), rounds=3, warmup_rounds=1)
    assert len(data.images("train"))
