"""Formulas of docstrings as MathML: laid out right, found where they are and only there, nothing lost."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from leaderboard import docstrings
from leaderboard.mathml import GREEK, Unreadable, breakable, formula, tokens

ROOT = Path(__file__).parent.parent
MODULES = sorted(
    f"{folder.replace('/', '.')}.{path.stem}"
    for folder in ("baselines", "genbench/metrics")
    for path in (ROOT / folder).glob("*.py")
)
SPOKEN = GREEK | {"oo": "∞", "sum": "∑", "prod": "∏", "in": "∈"}


def body(text: str, stacked: bool = False) -> str:
    """What stands inside the outermost row."""
    match = re.fullmatch(r"<math[^>]*><mrow>(.*)</mrow></math>", formula(text, stacked=stacked))
    assert match is not None
    return match.group(1)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("x_t", "<msub><mi>x</mi><mi>t</mi></msub>"),
        ("alpha", "<mi>α</mi>"),
        ("sqrt(v)", "<msqrt><mrow><mi>v</mi></mrow></msqrt>"),
        ("W_p^q", "<msubsup><mi>W</mi><mi>p</mi><mi>q</mi></msubsup>"),
        ("f^-1", '<msup><mi>f</mi><mrow><mo form="prefix">−</mo><mn>1</mn></mrow></msup>'),
        ("x_<d", '<msub><mi>x</mi><mrow><mo form="prefix">&lt;</mo><mi>d</mi></mrow></msub>'),
        ("A_ij", "<msub><mi>A</mi><mrow><mi>i</mi><mi>j</mi></mrow></msub>"),
        ("T_oo", "<msub><mi>T</mi><mi>∞</mi></msub>"),
        ("C1", "<msub><mi>C</mi><mn>1</mn></msub>"),
        ("abar", '<mover accent="true"><mi>a</mi><mo stretchy="false">¯</mo></mover>'),
        ("x~", '<mover accent="true"><mi>x</mi><mo stretchy="false">~</mo></mover>'),
        ("x^", '<mover accent="true"><mi>x</mi><mo stretchy="false">^</mo></mover>'),
        ("C'C", "<msup><mi>C</mi><mo>′</mo></msup><mi>C</mi>"),
        ("a <= b", "<mi>a</mi><mo>≤</mo><mi>b</mi>"),
        ("4 x 4", "<mn>4</mn><mo>×</mo><mn>4</mn>"),
        ("b x", "<mi>b</mi><mi>x</mi>"),
        ("z in R", "<mi>z</mi><mo>∈</mo><mi>R</mi>"),
        ("E log p", '<mi>E</mi><mspace width="0.25em"></mspace><mi>log</mi><mspace width="0.25em"></mspace><mi>p</mi>'),
    ],
)
def test_notation(source: str, expected: str) -> None:
    assert body(source) == expected


@pytest.mark.parametrize(
    ("source", "stacks"),
    [
        ("1/n", True),
        ("a / (1 - b)", True),
        ("v = p(x) / q(x)", True),
        ("1/2 sum_j s_j", True),
        ("a b / c", False),  # is it a times b/c, or ab over c? the slash says what the source says
        ("a / b c", False),
        ("|x|^2 / D", False),
    ],
)
def test_fractions_are_stacked_only_where_their_ends_are_beyond_doubt(source: str, stacks: bool) -> None:
    assert ("<mfrac>" in body(source, stacked=True)) == stacks
    assert "<mfrac>" not in body(source)


def test_a_minus_before_one_thing_is_a_sign_and_between_two_a_difference() -> None:
    assert 'form="prefix">−' in body("= -x")
    assert 'form="prefix">−' in body("mean -x")
    assert 'form="infix">−' in body("a - x")


@pytest.mark.parametrize("source", ["x_", "(a", "a)", "x_ t", "sqrt(x", "§ 3", "", "a / \\b"])
def test_what_is_no_formula_is_refused(source: str) -> None:
    with pytest.raises(Unreadable):
        formula(source)


def test_remarks_beside_a_formula_stay_text() -> None:
    laid = breakable("a = b  the paper's bound, kept apart, for s < i, each a model of x")
    assert re.sub(r'<math[^>]*alttext="([^"]*)".*?</math>', r"[\1]", laid) == (
        "[a][= b]\u2003the paper's bound, kept apart, for [s][&lt; i,] each a model of [x]"
    )


def test_lines_break_before_relations_and_sums_but_not_in_brackets_or_bars() -> None:
    laid = breakable("log p(x | y) = |a - b|^2 - (c + d)  for s < i")
    assert re.findall('alttext="([^"]*)"', laid) == ["log p(x | y)", "= |a - b|^2", "- (c + d)", "for s", "&lt; i"]


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("Symbols: x the data, J its size.", ["x", "J"]),
        ("With alpha_i = 1 - beta_i, abar_0 = 1.", ["alpha_i", "= 1", "- beta_i", "abar_0", "= 1"]),
        ("It ascends E log D(x) + E log(1 - D(G(z))).", ["E log D(x)", "+ E log(1 - D(G(z)))"]),
        ("A vector z in R^J, and t in [0, 1].", ["z in R^J", "t in [0, 1]"]),
        ("the kernel (n, d) with d <= 8", ["(n, d)", "d", "<= 8"]),
        ("A model's samples, D's output, the classes' means", []),
        ("on the scale of [-1, 1], from 0 to 1, at 8x8 and/or 1/2", []),
        ("Real NVP (Dinh, Sohl-Dickstein and Bengio, 2017), e.g. a U-Net", []),
        ("a share a of q(x) = a p(x)", ["q(x)", "= a p(x)"]),
    ],
)
def test_formulas_are_found_in_sentences(sentence: str, expected: list[str]) -> None:
    found = re.findall('alttext="([^"]*)"', docstrings.inline(sentence))
    assert found == [one.replace("<", "&lt;") for one in expected]


def test_code_and_emphasis() -> None:
    assert docstrings.inline("`x_t = 1` is *new* and 2 * 3 * 4") == "<code>x_t = 1</code> is <em>new</em> and 2 * 3 * 4"


def test_arguments_become_a_list() -> None:
    assert docstrings.html("Args:\n    real: features,\n        many.\n    k: which.") == (
        '<p class="args">Args:</p>\n<dl class="args"><dt><code>real</code></dt><dd>features, many.</dd>'
        "<dt><code>k</code></dt><dd>which.</dd></dl>"
    )


def test_markup_in_a_docstring_is_text() -> None:
    for text in ("<script>alert(1)</script> & more", "    <b>x</b> = 1", "`<i>`", "Args:\n    a: <u>"):
        shown = docstrings.html(text)
        assert not re.search("<(script|b|i|u)>", shown)
        assert flat(shown) == "".join(text.replace("`", "").split())


def flat(shown: str) -> str:
    """All that a reader, or a screen reader, gets: text, with formulas as their source; without spaces."""

    def words(element: ElementTree.Element) -> str:
        inner = (element.text or "") + "".join(words(child) for child in element)
        mark = ":" if element.tag == "dt" else ""
        return (element.get("alttext") or "" if element.tag == "math" else inner + mark) + (element.tail or "")

    return "".join(words(ElementTree.fromstring(f"<div>{shown}</div>")).split())


@pytest.mark.parametrize("module", MODULES)
def test_nothing_of_a_docstring_is_lost(module: str) -> None:
    for text in docstrings._docstrings(module).values():
        shown = docstrings.html(text)
        source = re.sub(r"\*(\w[^*\n]*\w)\*(?!\w)", r"\1", text).replace("`", "")
        assert flat(shown) == "".join(source.split())
        for math in ElementTree.fromstring(f"<div>{shown}</div>").iter("math"):
            drawn = [piece for leaf in math.iter() if leaf.tag in ("mi", "mn", "mo") for piece in (leaf.text or "",)]
            assert atoms("".join(drawn)) == atoms("".join(spoken(math.get("alttext") or "")))


def atoms(text: str) -> str:
    """Letters and digits alone: signs are drawn in several ways."""
    return "".join(character for character in text.replace("×", "x") if character.isalnum() or character in "∑∏∞∈")


def spoken(source: str) -> list[str]:
    def one(name: str) -> str:
        if name.endswith("bar") and (name[:-3] in SPOKEN or len(name) == 4):
            name = name[:-3]
        return "" if name == "sqrt" else SPOKEN.get(name, name)

    return [one(token.text) for token in tokens(source)]


@pytest.mark.parametrize("module", MODULES)
def test_every_formula_that_stands_alone_is_laid_out(module: str) -> None:
    for text in docstrings._docstrings(module).values():
        for block in re.findall(r'<div class="formula">(.*?)</div>\n', docstrings.html(text) + "\n", re.DOTALL):
            assert "<code>" not in block


def test_docstrings_are_read_without_importing_anything() -> None:
    program = (
        "import sys; from leaderboard.docstrings import docstring\n"
        "module, own = docstring('baselines.vae:VAE')\n"
        "assert module.startswith('Variational') and own.startswith('Gaussian latent')\n"
        "assert docstring('genbench.metrics.fid:fid')[1].startswith('Fr')\n"
        "assert docstring('no_such_package.here:Thing') == docstring('baselines.nothing:X') == ('', '')\n"
        "assert not {'torch', 'baselines', 'genbench.metrics'} & sys.modules.keys(), sys.modules.keys()\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)
