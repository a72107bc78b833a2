"""Names: resolved when asked for, and errors that say what would be right."""

import sys
from importlib.metadata import EntryPoint

import pytest

from genbench import catalog
from genbench.errors import Refused


@pytest.mark.parametrize("shelf", ["models", "datasets", "metrics", "extractors"])
def test_every_reference_leads_somewhere(shelf):
    for name in catalog.shelf(shelf):
        assert catalog.resolve(shelf, name) is not None
        assert len(catalog.summary(catalog.reference(shelf, name))) > 10, f"{name} has no summary"


def test_full_references_pass_through():
    assert catalog.resolve("models", "collections:OrderedDict").__name__ == "OrderedDict"
    assert catalog.reference("models", "vae") == "baselines.vae:VAE"
    assert catalog.reference("datasets", "folder:/some/path") == catalog.DATASETS["folder"]


@pytest.mark.parametrize(
    ("shelf", "name", "says"),
    [
        ("models", "vea", "unknown model 'vea'; did you mean vae"),
        ("datasets", "digit", "did you mean digits"),
        ("metrics", "fidd", "did you mean fid"),
        ("models", "xyzzy", "there is copycat, dcgan"),
        ("models", "no_such_module:Thing", "there is no module 'no_such_module'"),
        ("models", "baselines.no_such:Thing", "there is no module 'baselines.no_such'"),
        ("models", "collections:OrderedDikt", "has no 'OrderedDikt'; did you mean OrderedDict"),
    ],
)
def test_wrong_names_get_a_sentence(shelf, name, says):
    with pytest.raises(Refused, match=says):
        catalog.resolve(shelf, name)


def test_a_missing_nested_import_is_reported_as_what_it_is(tmp_path, monkeypatch):
    (tmp_path / "needs_more.py").write_text("import a_package_that_is_missing\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(Refused, match="'needs_more' needs 'a_package_that_is_missing', which is not installed"):
        catalog.resolve("models", "needs_more:Thing")
    assert "needs_more" not in sys.modules


def test_entry_points_add_names_and_never_take_one_over(monkeypatch):
    points = [
        EntryPoint("theirs", "collections:OrderedDict", "genbench.models"),
        EntryPoint("vae", "collections:OrderedDict", "genbench.models"),
    ]
    monkeypatch.setattr(catalog, "entry_points", lambda group: points if group == "genbench.models" else [])
    catalog.shelf.cache_clear()
    try:
        assert catalog.resolve("models", "theirs").__name__ == "OrderedDict"
        assert catalog.reference("models", "vae") == "baselines.vae:VAE"
    finally:
        catalog.shelf.cache_clear()
