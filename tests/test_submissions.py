"""Submissions: what strangers send is believed in nothing that can be checked, and harms nothing where it is wrong."""

from pathlib import Path

import pytest

from genbench.errors import Refused
from genbench.record import Record
from leaderboard.load import collect, place
from tests import synthetic


def publish(root: Path, one: Record, picture: bytes | None = None) -> Path:
    """Writes a record where it belongs in a published folder."""
    return synthetic.write((root / place(one)).parent, one, picture)


@pytest.fixture
def folder(tmp_path) -> Path:
    """A published folder of two valid records, `vae` and `gan`."""
    for label in ("vae", "gan"):
        publish(tmp_path / "records", synthetic.make(label))
    (tmp_path / "records" / "trust.toml").touch()
    return tmp_path / "records"


VAE, GAN = (synthetic.make(label).key for label in ("vae", "gan"))


# ------------------------------------------------------------------------------------------------ trust, retractions


def test_trust_comes_from_the_index_alone(folder):
    assert collect(folder).trust == {VAE: "self-reported", GAN: "self-reported"}
    (folder / "trust.toml").write_text(f'{VAE} = "reproduced"\n')
    assert collect(folder).trust == {VAE: "reproduced", GAN: "self-reported"}


def test_an_index_below_the_root_of_a_folder_counts_for_nothing(folder):
    (folder / "digits" / "trust.toml").write_text(f'{VAE} = "maintainer-run"\n')
    (folder / "digits" / "retracted.toml").write_text(f'{GAN} = {{reason = "too good", date = 2026-03-01}}\n')
    found = collect(folder)
    assert set(found.trust.values()) == {"self-reported"}
    assert not found.retracted


def test_a_retracted_record_is_listed_and_not_shown(folder):
    (folder / "retracted.toml").write_text(f'{GAN} = {{reason = "trained on the test split", date = 2026-03-01}}\n')
    found = collect(folder)
    assert [one.key for one in found.records] == [VAE]
    assert found.retracted == {GAN: "trained on the test split (2026-03-01)"}
    assert set(found.trust) == {VAE}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("trust.toml", f'{VAE} = "self-made"'),
        ("trust.toml", f'{VAE} = "self-reported"'),
        ("trust.toml", '"../../x" = "reproduced"'),
        ("trust.toml", "= ="),
        ("trust.toml", f'{VAE} = "reproduced"\n{VAE} = "maintainer-run"'),
        ("trust.toml", "a = " + "[" * 100_000),
        ("retracted.toml", f'{VAE} = "because"'),
        ("retracted.toml", f'{VAE} = {{reason = "no date was given"}}'),
        ("retracted.toml", f'{VAE} = {{reason = "", date = 2026-03-01}}'),
        ("retracted.toml", f'{VAE} = {{reason = "well argued", date = 2026-03-01, who = "me"}}'),
    ],
)
def test_an_index_that_is_wrong_is_refused(folder, name, text):
    (folder / name).write_text(text)
    with pytest.raises(Refused, match=name):
        collect(folder)


def test_an_index_that_is_a_link_is_refused(folder, tmp_path):
    (tmp_path / "elsewhere.toml").write_text(f'{VAE} = "reproduced"')
    (folder / "trust.toml").unlink()
    (folder / "trust.toml").symlink_to(tmp_path / "elsewhere.toml")
    with pytest.raises(Refused, match="not a plain file"):
        collect(folder)
