"""`genbench.metrics.fid` is the function whatever was imported first, and the module stays within reach."""

import subprocess
import sys

import pytest

import genbench.metrics
from genbench import catalog

ORDERS = (
    "import genbench.metrics",
    "import genbench.metrics.fid",
    "import genbench.metrics; genbench.metrics.fid; import genbench.metrics.fid",
    "import importlib; importlib.import_module('genbench.metrics.fid'); import genbench",
    "from genbench.metrics.fid import METRIC; import genbench",
    "from genbench.metrics.measure import measure; import genbench.metrics.recall, genbench",
)
CHECK = """
import genbench, pickle
from genbench.metrics import fid
from genbench.metrics.fid import METRIC
assert genbench.metrics.fid is fid is METRIC.fn, order
assert abs(genbench.metrics.fid(real=[[0.0], [1.0]], fake=[[1.0], [2.0]]) - 1.0) < 1e-12, order
assert sys.modules["genbench.metrics.fid"].METRIC is METRIC, order
assert pickle.loads(pickle.dumps(fid)) is fid, order
"""


def test_a_metric_is_callable_whatever_was_imported_first():
    """One process, which forgets genbench (and keeps torch) before each order of imports."""
    code = f"""import sys
for order in {ORDERS!r}:
    for name in [name for name in sys.modules if name.partition(".")[0] == "genbench"]:
        del sys.modules[name]
    exec(order + {CHECK!r}, dict(sys=sys, order=order))
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", catalog.METRICS)
def test_every_metric_of_the_catalog_is_an_attribute(name):
    function = getattr(genbench.metrics, name)
    assert function is catalog.resolve("metrics", name).fn
    assert name in dir(genbench.metrics)
    for word in ("Reference:", "better", "Args:"):
        assert word in function.__doc__ or (name in ("nats", "excess_nats") and word == "Reference:")


def test_an_unknown_metric_is_an_attribute_error():
    with pytest.raises(AttributeError, match="did you mean fid"):
        genbench.metrics.fidd  # noqa: B018


def test_the_package_imports_no_torch():
    subprocess.run(
        [sys.executable, "-c", "import sys, genbench.metrics; assert 'torch' not in sys.modules"], check=True
    )
