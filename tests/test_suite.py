"""Suites: everything is checked before anything runs."""

import pytest

from genbench import suite
from genbench.errors import Refused

GROUP = '[[group]]\ndatasets = ["ring8"]\nmodels = ["gan"]\n'


@pytest.mark.parametrize("name", suite.names())
def test_our_suites_are_valid(name):
    assert suite.load(name).group
    assert suite.names()[name]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("budgit = 1\n" + GROUP, "unknown key 'budgit'; did you mean budget"),
        (GROUP + "sample = 3\n", r"unknown key 'sample' in \$\.group\[.*\]; did you mean samples"),
        ('budget = "much"\n' + GROUP, "Expected `float`, got `str`"),
        ("budget = -1.0\n" + GROUP, "budget"),
        ("seeds = []\n" + GROUP, "seeds"),
        ("seeds = [0.5]\n" + GROUP, "seeds"),
        ("", "group"),
        ("a = = 1", "not valid TOML"),
        ('[[group]]\ndatasets = "ring8"\nmodels = ["gan"]\n', "datasets"),
    ],
)
def test_a_wrong_suite_gets_a_sentence(tmp_path, text, says):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(Refused, match=says):
        suite.load(str(path))


def test_unknown_suites():
    with pytest.raises(Refused, match="unknown suite 'quik'; did you mean quick"):
        suite.load("quik")
    with pytest.raises(Refused, match="no suite file"):
        suite.load("nowhere/mine.toml")


def test_changes_from_the_command_line(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(GROUP + "budget = 0.5\n")
    found = suite.load(
        str(path), ["budget=0.25", "seeds=[3]", "gan.loss=saturating", "gan.latent=4", "gan.recipe.steps=10"]
    )
    assert found.settings(found.group[0]).budget == 0.25
    assert found.seeds == [3]
    assert found.config == {"gan": {"loss": "saturating", "latent": 4}}
    assert found.recipe == {"gan": {"steps": 10}}
    for wrong in ("budget", "a.b.c=1", "=1", "a.recipe.b.c=1"):
        with pytest.raises(Refused, match="is not of the form"):
            suite.load(str(path), [wrong])


def test_labels():
    assert suite.split_label("vae") == ("vae", {}, None)
    assert suite.split_label("gan[loss=saturating, latent=4]") == ("gan", {"loss": "saturating", "latent": 4}, None)
    assert suite.split_label("my.module:Thing[x=1.5]") == ("my.module:Thing", {"x": 1.5}, None)
    assert suite.split_label("ddpm[ddim-20]") == ("ddpm", {}, "ddim-20")
    assert suite.split_label("ddpm[ ddim-20, width=16]") == ("ddpm", {"width": 16}, "ddim-20")
    for wrong in ("gan[", "gan[a=1]b", "ddpm[ddim-20,ddim-10]", "gan[=3]"):
        with pytest.raises(Refused, match="is not of the form"):
            suite.split_label(wrong)
