"""Foreign text -> LaTeX in plain ASCII, for every engine and every encoding of fonts.

No character of the text can begin a command, end a group, open mathematics, start a comment or be taken for the
optional argument of the line break before it. What LaTeX has no way to print without a further font is named by its
code point instead: the document compiles, whatever a record holds.
"""

from __future__ import annotations

import unicodedata

from leaderboard.typography import plain

_LIGATURES = "-,'"  # two of them in a row would print as another character
_TEXT = {
    **{character: f"\\{character}" for character in "{}$&#_%"},
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}",
    ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\char34{}", "`": r"\char96{}", "[": "{[}", "*": "{*}",
    "\u2013": "--", "\u2014": "---", "…": r"\ldots{}", "‘": "`", "’": "'", "“": "``", "”": "''", "§": r"{\S}",
    "¶": r"{\P}", "ß": r"{\ss}", "æ": r"{\ae}", "Æ": r"{\AE}", "œ": r"{\oe}", "Œ": r"{\OE}", "ø": r"{\o}",
    "Ø": r"{\O}", "ł": r"{\l}", "Ł": r"{\L}", "ı": r"{\i}",
}  # fmt: skip
_MATHEMATICS = {
    "\u2212": "-", "±": r"\pm", "×": r"\times", "·": r"\cdot", "÷": r"\div", "≤": r"\leq", "≥": r"\geq",
    "≈": r"\approx", "≠": r"\neq", "∞": r"\infty", "∑": r"\sum", "∏": r"\prod", "∫": r"\int", "∂": r"\partial",
    "√": r"\surd", "∈": r"\in", "‖": r"\Vert", "→": r"\to", "←": r"\gets", "↑": r"\uparrow", "↓": r"\downarrow",
    "°": r"{}^{\circ}", "µ": r"\mu",
}  # fmt: skip
_GREEK = (
    "alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda", "mu", "nu", "xi",
    "pi", "rho", "varsigma", "sigma", "tau", "upsilon", "phi", "chi", "psi", "omega",
    "Gamma", "Delta", "Theta", "Lambda", "Xi", "Pi", "Sigma", "Upsilon", "Phi", "Psi", "Omega",
)  # fmt: skip
_MATHEMATICS |= dict(zip("αβγδεζηθικλμνξπρςστυφχψωΓΔΘΛΞΠΣΥΦΨΩ", (f"\\{name}" for name in _GREEK), strict=True))
_ACCENTS = {
    "\u0300": r"\`", "\u0301": r"\'", "\u0302": r"\^", "\u0303": r"\~", "\u0304": r"\=", "\u0306": r"\u",
    "\u0307": r"\.", "\u0308": r"\"", "\u030a": r"\r", "\u030b": r"\H", "\u030c": r"\v", "\u0327": r"\c",
}  # fmt: skip
_PLACES = {"<sub>": "_", "<super>": "^"}


def latex(text: str) -> str:
    """Text as LaTeX that prints it character by character: one line, ASCII, no command but those of this file."""
    found: list[str] = []
    previous = ""
    for character in unicodedata.normalize("NFC", plain(text)):
        if character == previous and character in _LIGATURES:
            found.append("{}")
        found.append(_printed(character))
        previous = character
    return "".join(found)


def _printed(character: str) -> str:
    if character in _TEXT:
        return _TEXT[character]
    if character in _MATHEMATICS:
        return rf"\ensuremath{{{_MATHEMATICS[character]}}}"
    if character.isascii():
        return character
    where = unicodedata.decomposition(character).partition(" ")[0]
    letter = unicodedata.normalize("NFKC", character)
    if where in _PLACES and len(letter) == 1 and letter.isascii() and letter.isalnum():
        return rf"\ensuremath{{{_PLACES[where]}{letter}}}"
    parts = unicodedata.normalize("NFD", character)
    if len(parts) == 2 and parts[0].isascii() and parts[0].isalpha() and parts[1] in _ACCENTS:
        return f"{_ACCENTS[parts[1]]}{{{parts[0]}}}"
    return rf"\texttt{{U+{ord(character):04X}}}"
