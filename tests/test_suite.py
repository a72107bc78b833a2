"""Suites: everything is checked before anything runs."""

import pytest

from genbench import suite
from genbench.errors import Refused
from genbench.plan import plan

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


def test_some_models_and_datasets_of_a_suite_alone():
    quick = suite.load("quick")
    (group,) = suite.only(quick, ["vae", "mine:Mine"], ["ring8"]).group
    assert (group.datasets, group.models, group.samples) == (["ring8"], ["vae", "mine:Mine"], 2500)  # the group's own
    own = suite.only(quick, [], ["digits-binary"]).group
    assert [(one.datasets, one.models) for one in own] == [(["digits-binary"], ["independent", "rbm"])]
    everywhere = suite.only(quick, ["vae"], []).group
    assert [one.datasets for one in everywhere] == [["digits"], ["digits-binary"], ["ring8"]]
    assert {tuple(one.models) for one in everywhere} == {("vae",)}
    (new,) = suite.only(quick, ["vae"], ["moons"]).group
    assert (new.datasets, new.models) == (["moons"], ["vae"])
    assert suite.only(quick, [], []) == quick
    with pytest.raises(Refused, match="no models for dataset 'moons'; name some with --model"):
        suite.only(quick, [], ["moons"])


def test_sections_of_models_that_are_left_out_are_no_misspellings(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(GROUP + "[config.gan]\nlatent = 4\n")
    cells = plan(suite.load(str(path)), models=["independent"]).cells
    assert [cell.model for cell in cells] == ["real", "independent"]
    path.write_text(GROUP + "[config.gna]\nlatent = 4\n")
    with pytest.raises(Refused, match=r"\[config.gna\]: the suite runs no model 'gna'; did you mean gan\?"):
        plan(suite.load(str(path)), models=["gan"])


def test_a_model_that_is_named_runs_on_a_dataset_once(tmp_path):
    path = tmp_path / "twice.toml"
    path.write_text(GROUP + GROUP.replace("gan", "vae"))
    assert [one.datasets for one in suite.only(suite.load(str(path)), ["rbm"], []).group] == [["ring8"]]
    assert len(suite.only(suite.load(str(path)), [], ["ring8"]).group) == 2
