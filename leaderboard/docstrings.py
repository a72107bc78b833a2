"""Docstrings of models and metrics -> HTML, read from the sources, which are never imported.

Indented lines are formulas; inside sentences a formula is the longest run of tokens that can be nothing else: indices,
exponents, relations between letters, a letter applied to something, a letter by itself. What is in doubt stays text,
and an indented line that cannot be read as a formula stays code: nothing that a docstring says is left out.
"""

from __future__ import annotations

import ast
import importlib.util
import re
from functools import cache
from html import escape
from itertools import pairwise
from pathlib import Path

from leaderboard.mathml import FUNCTIONS, GREEK, Token, Unreadable, breakable, tokens

_PIECE = re.compile(r"`[^`\n]+`|\*[^\W\d][^*\n]*[^\W\d]\*(?!\w)")
_LABEL = re.compile(r"([A-Za-z][A-Za-z ]*):\s{2,}(?=\S)")
_ARGUMENT = re.compile(r"    (\w+(?:, \w+)*): (.*)")
_RELATIONS = frozenset(["=", "<", ">", "<=", ">=", "!=", "~", "->"])
_ARITHMETIC = frozenset(["+", "-", "/", "//", "+-"])
_ENGLISH = frozenset({"mean", "sum", "max", "min", "sup"})  # functions that are words as well
_BARS = frozenset({"|", "||"})
_PAIRS = {"(": ")[", "[": "])", "{": "}"}
_PUNCTUATION = re.compile(r"^[,.;:)]+")
_ALONE = 28  # a formula of so many characters that begins a paragraph gets a line of its own


def docstring(target: str) -> tuple[str, str]:
    """The docstrings of the module and of the attribute of `module:attribute`, empty where there is none.

    Only the top package is looked up, which runs nothing of it; the file is then read as text.
    """
    module, _, attribute = target.partition(":")
    return _docstrings(module).get("", ""), _docstrings(module).get(attribute, "")


@cache
def _docstrings(module: str) -> dict[str, str]:
    top, *rest = module.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return {}
    if spec is None:
        return {}
    places = [Path(folder, *rest) for folder in spec.submodule_search_locations or ()] if rest else []
    files = [place.with_suffix(".py") for place in places] + [place / "__init__.py" for place in places]
    source = next((path for path in files if path.is_file()), None)
    if source is None and not rest and spec.origin and spec.origin.endswith(".py"):
        source = Path(spec.origin)
    if source is None:
        return {}
    tree = ast.parse(source.read_text(encoding="utf-8"))
    found = {"": ast.get_docstring(tree) or ""}
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            found[node.name] = ast.get_docstring(node) or ""
    return found


@cache
def html(text: str) -> str:
    """A docstring as HTML: paragraphs, formulas on lines of their own, lists of arguments."""
    return "\n".join(_paragraph(paragraph) for paragraph in re.split(r"\n\s*\n", text.strip("\n")) if paragraph.strip())


def _paragraph(text: str) -> str:
    lines = text.splitlines()
    if lines[0].rstrip() in ("Args:", "Returns:") and len(lines) > 1:
        return _arguments(lines)
    blocks: list[str] = []
    while lines:
        indented = lines[0].startswith("    ")
        length = next((i for i, line in enumerate(lines) if line.startswith("    ") != indented), len(lines))
        head, lines = lines[:length], lines[length:]
        blocks.append(_display(head) if indented else _prose(" ".join(line.strip() for line in head)))
    return "\n".join(blocks)


def _prose(text: str) -> str:
    found = _spans(text)
    if found and found[0][0] == 0 and found[0][1] >= _ALONE:
        end = found[0][1]
        end += text[end : end + 1] in (".", ",", ":", ";")
        rest = f"\n<p>{inline(text[end:].strip())}</p>" if text[end:].strip() else ""
        return f'<div class="formula">{_laid(text[:end], stacked=True)}</div>{rest}'
    return f"<p>{inline(text)}</p>"


def _display(lines: list[str]) -> str:
    """Lines of formulas; a line set in further than the first stays so, a `label:` before it is text."""
    first = min(len(line) - len(line.lstrip()) for line in lines)
    rows = []
    for line in lines:
        depth = len(line) - len(line.lstrip()) - first
        body = line.strip()
        label = _LABEL.match(body)
        words = f"<span>{escape(label.group(1))}:</span> " if label else ""
        body = body[label.end() :] if label else body
        inset = ' class="deeper"' if depth > 0 else ""
        rows.append(f"<div{inset}>{words}{_laid(body, stacked=True)}</div>")
    return f'<div class="formula">{"".join(rows)}</div>'


def _arguments(lines: list[str]) -> str:
    found: list[list[str]] = []
    for line in lines[1:]:
        if match := _ARGUMENT.fullmatch(line):
            found.append([match.group(1), match.group(2)])
        elif found:
            found[-1][1] += " " + line.strip()
        else:
            return f"<p>{inline(' '.join(one.strip() for one in lines))}</p>"
    items = "".join(f"<dt><code>{escape(name)}</code></dt><dd>{inline(about)}</dd>" for name, about in found)
    return f'<p class="args">{escape(lines[0].strip())}</p>\n<dl class="args">{items}</dl>'


def inline(text: str) -> str:
    """A sentence with its formulas, `code` and *emphasis*."""
    pieces: list[str] = []
    end = 0
    for match in _PIECE.finditer(text):
        pieces.append(_with_formulas(text[end : match.start()]))
        tag = "code" if match.group()[0] == "`" else "em"
        pieces.append(f"<{tag}>{escape(match.group()[1:-1])}</{tag}>")
        end = match.end()
    return "".join(pieces) + _with_formulas(text[end:])


def _with_formulas(text: str) -> str:
    pieces: list[str] = []
    end = 0
    for start, stop in _spans(text):
        before = "(" if text[:start].endswith("(") else ""
        after = next(iter(_PUNCTUATION.findall(text[stop:])), "")
        laid = before + _laid(text[start:stop]) + after
        pieces.append(escape(text[end : start - len(before)], quote=False))
        pieces.append(f'<span class="whole">{laid}</span>' if before or after else laid)
        end = stop + len(after)
    return "".join(pieces) + escape(text[end:], quote=False)


def _laid(text: str, *, stacked: bool = False) -> str:
    try:
        return breakable(text, stacked=stacked)
    except Unreadable:
        return f"<code>{escape(text)}</code>"


def _spans(text: str) -> list[tuple[int, int]]:
    """Where formulas stand in a sentence: starts and ends of the longest runs, from left to right."""
    found = tokens(text)
    spans: list[tuple[int, int]] = []
    index = 0
    while index < len(found):
        stop = _grow(found, index)
        if stop is None:
            index += 1
            continue
        spans.append((found[index].start, found[stop].end))
        index = stop + 1
    return spans


def _grow(found: list[Token], start: int) -> int | None:
    """The last token of the formula that begins at one, None where none begins."""
    first = found[start]
    if not (
        _symbol(found, start)
        or first.kind == "number"
        or first.text in _PAIRS
        or first.text in _BARS
        or (first.text in ("-", "#") and _at(found, start + 1).gap == 0 and first.gap > 0)
    ):
        return None
    if start and first.gap == 0 and found[start - 1].kind in ("name", "number"):  # the rest of a word
        return None
    expected: list[str] = []
    bars = [0]
    last = None
    for index in range(start, len(found)):
        token = found[index]
        if token.text in _PAIRS:
            expected.append(_PAIRS[token.text])
            bars.append(0)
        elif token.text in ")]}":
            if not expected or token.text not in expected.pop():
                break
            bars.pop()
        elif token.text in _BARS:
            bars[-1] += token.text == "|"
        elif not _admissible(found, index, deep=bool(expected), braces="}" in expected):
            break
        if not expected and bars[0] % 2 == 0 and _ends(found, index) and _readable(found, start, index):
            last = index
    return last


def _at(found: list[Token], index: int) -> Token:
    nothing = Token(kind="none", text="", gap=1, start=0, end=0)
    return found[index] if 0 <= index < len(found) else nothing


def _admissible(found: list[Token], index: int, *, deep: bool, braces: bool) -> bool:
    """Whether a token that is no bracket and no bar may stand in a formula."""
    token, before, after = found[index], _at(found, index - 1), _at(found, index + 1)
    if token.kind == "number":
        return True
    if token.kind == "name":
        if token.text == "in":
            return after.text in _PAIRS or _at(found, index + 2).text == "^"
        script = before.text in ("_", "^") or (before.text == "{" and _at(found, index - 2).text in ("_", "^"))
        return _symbol(found, index) or (script and token.gap == 0)
    if token.text in _RELATIONS | _ARITHMETIC:
        return not (token.text == "-" and token.gap == 0 and after.gap > 0)
    if token.text in ("_", "^", "'", "*"):
        return token.gap == 0
    if token.text in (",", ";"):
        return deep
    return token.text in ("..", "...", "#") or (token.text == ":" and braces)


def _symbol(found: list[Token], index: int) -> bool:
    """Whether a name is a letter, a Greek letter, a function, or made a symbol by what stands around it."""
    token, before, after = found[index], _at(found, index - 1), _at(found, index + 1)
    if token.kind != "name":
        return False
    name, follows, next_but_one = token.text, after.text if after.gap == 0 else "", _at(found, index + 2)
    letter = len(name) == 1 or name in GREEK or name == "oo" or name[1:].isdigit()
    if (follows == "'" and not letter) or (follows == "." and next_but_one.gap == 0 and next_but_one.kind == "name"):
        return False  # samples', e.g.
    if token.gap == 0 and before.text == ".":
        return False
    applied = follows in ("(", "[") and (next_but_one.text, _at(found, index + 3).text) != ("s", ")")
    signs = _RELATIONS | _ARITHMETIC
    if name in ("a", "A"):
        return after.text in signs or follows in (",", ")", "_", "^", "'", "(") or before.text in ("=", "+")
    if letter or (name.endswith("bar") and (name[:-3] in GREEK or len(name) == 4)):
        return True
    if follows in ("_", "^"):
        return name in FUNCTIONS or not name.islower() or len(next_but_one.text) == 1
    if name in _ENGLISH:
        return applied or (before.text in signs and _symbolic(after))
    if name in FUNCTIONS:
        return applied or after.text in signs or after.kind == "number" or _symbolic(after)
    if re.fullmatch("d[fstuvxyz]", name):
        return "/" in (before.text, after.text)
    ended = after.text in signs | {")", ".", ",", ";", ""}
    between = before.text in signs | _PAIRS.keys() and ended and not (before.text in _PAIRS and after.text not in signs)
    return applied or between or (name.isupper() and (after.text in signs or before.text in signs))


def _symbolic(token: Token) -> bool:
    letter = len(token.text) == 1 and token.kind == "name" and token.text not in ("a", "A")
    return letter or token.text in GREEK or token.text in ("(", "|")


def _ends(found: list[Token], index: int) -> bool:
    """Whether a formula may end here: not with an operator, not with a function of nothing, not inside a script."""
    token, after = found[index], _at(found, index + 1)
    if after.gap == 0 and (after.text in ("_", "^", "'") or after.kind in ("name", "number")):
        return False
    if token.kind == "name":
        return token.text not in FUNCTIONS or _at(found, index - 1).text in ("_", "^")
    return token.kind == "number" or token.text in ")]}'|" or token.text in ("...", "..", "||") or _accent(token, after)


def _accent(token: Token, after: Token) -> bool:
    return token.gap == 0 and token.text in ("~", "^", "*") and (after.gap > 0 or after.kind == "sign")


def _readable(found: list[Token], start: int, stop: int) -> bool:
    """Whether a run says something that only a formula says."""
    run = found[start : stop + 1]
    letters = [one for one in run if one.kind == "name"]
    if len(run) == 1:
        return bool(letters) and (len(run[0].text) == 1 or run[0].text in GREEK or run[0].text[1:].isdigit())
    signs = {"=" if one.text == "in" else one.text for one in run if one.kind == "sign" or one.text == "in"}
    if letters and signs & (_RELATIONS | _ARITHMETIC | _BARS | {"_", "^", "'", "#", "*"}):
        return True
    applied = any(one.kind == "name" and two.text in ("(", "[") and two.gap == 0 for one, two in pairwise(run))
    return applied or (
        len(letters) > 1 and all(len(one.text) == 1 or one.text in GREEK.keys() | FUNCTIONS for one in letters)
    )
