"""Formulas as docstrings write them -> MathML, which browsers draw without any script.

The notation is that of the sources: `x_t`, `x_{i-1}`, `v^(1/2)`, `sum_i`, `sqrt(...)`, `|x|^2`, `C'C`, Greek letters
by name, `x~` and `x^` for a tilde and a hat, `abar` for a bar. A formula is laid out, not understood: what is written
side by side stays side by side. A fraction is stacked only where its ends are beyond doubt, in formulas that stand
alone; elsewhere the slash stays. Every `<math>` carries its source as `alttext`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import escape

GREEK = {
    "alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "eps": "ε", "epsilon": "ε", "zeta": "ζ", "eta": "η",
    "theta": "θ", "kappa": "κ", "lambda": "λ", "mu": "μ", "nu": "ν", "xi": "ξ", "pi": "π", "rho": "ρ", "sigma": "σ",
    "tau": "τ", "phi": "φ", "chi": "χ", "psi": "ψ", "omega": "ω", "Gamma": "Γ", "Delta": "Δ", "Sigma": "Σ",
}  # fmt: skip
FUNCTIONS = frozenset({
    "exp", "log", "ln", "log10", "sqrt", "sum", "prod", "mean", "min", "max", "sup", "Tr", "tr", "det", "div", "grad",
    "diag", "Var", "var", "cov", "sg",
})  # fmt: skip
_LARGE = {"sum": "∑", "prod": "∏"}
_WORDS_OF_MATHS = frozenset({"in", "oo", "softmax", "logit", "tanh"})
_UNDER = frozenset({"sum", "prod", "mean", "min", "max", "sup"})  # what takes its index below, in a formula by itself
_OPERATORS = {
    "-": "−", "<=": "≤", ">=": "≥", "!=": "≠", "->": "→", "~": "∼", "||": "∥", "+-": "±", "..": "…", "...": "…",
    "*": "∗", "'": "′",
}  # fmt: skip
_PLAIN = frozenset(["+", "=", "<", ">", "/", "//", "|", ",", ";", ":", ".", "!", "#", "&", "%", "_", "^"])
_OPEN, _CLOSE = frozenset("([{"), frozenset(")]}")
_SEPARATORS = frozenset({",", ";", ":", "."})
_BREAKS = frozenset({"=", "<=", ">=", "<", ">", "~", "->", "+", "-"})
_TOKEN = re.compile(
    r"(?P<number>\d+(?:,\d{3})+(?!\d)|\d+(?:\.\d+)?(?:e-?\d+)?)"
    r"|(?P<name>[^\W\d_]+(?:-[^\W\d_]+)*'s\b|[^\W\d_]+(?:-[^\W\d_]+)*\d*)"
    r"|(?P<sign><=|>=|!=|->|\|\||//|\+-|\.\.\.|\.\.|\S)"
)


class Unreadable(ValueError):
    """A text that is no formula in this notation."""


@dataclass(frozen=True, kw_only=True)
class Token:
    """A number, a name or a sign; `gap` is the number of spaces before it."""

    kind: str
    text: str
    gap: int
    start: int
    end: int


def tokens(text: str) -> list[Token]:
    """All tokens of a text; whatever is not a number or a name is a sign."""
    found: list[Token] = []
    end = 0
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup or "sign"
        found.append(
            Token(kind=kind, text=match.group(), gap=match.start() - end, start=match.start(), end=match.end())
        )
        end = match.end()
    return found


def formula(text: str, *, stacked: bool = False) -> str:
    """A formula as one `<math>` element; raises `Unreadable` for what is not one.

    `stacked` is for a formula that stands alone: fractions have a line, sums their index below.
    """
    text = text.strip()
    parser = _Parser(tokens(text), stacked)
    body = parser.row()
    if not body or parser.position != len(parser.tokens):
        raise Unreadable(text)
    style = ' displaystyle="true"' if stacked else ""
    return f'<math{style} alttext="{escape(text)}"><mrow>{body}</mrow></math>'


def breakable(text: str, *, stacked: bool = False) -> str:
    """A formula as several `<math>` elements, between which a line may end: before relations, sums and differences.

    Two words or more in a row are a remark beside the formula, and stay text.
    """
    text = text.strip()
    found = tokens(text)
    pieces: list[str] = []
    start = depth = bars = 0
    after = 0  # where a remark ends
    for index, token in enumerate(found):
        if index < after:
            continue
        if depth == 0 and (stop := _remark(found, index)) > index + 1:
            if text[start : token.start].strip():
                pieces.append(formula(text[start : token.start], stacked=stacked))
            space = "\u2003" if token.gap > 1 else " " if pieces else ""
            pieces.append(f"{space}{escape(text[token.start : found[stop - 1].end], quote=False)} ")
            start, after = found[stop - 1].end, stop
            continue
        depth += (token.text in _OPEN) - (token.text in _CLOSE)
        bars += depth == 0 and token.text == "|"
        apart = token.gap > 0 and index + 1 < len(found) and found[index + 1].gap > 0
        breaks = token.gap > 1 or (apart and token.text in _BREAKS)
        if text[start : token.start].strip() and depth == 0 and bars % 2 == 0 and breaks:
            pieces.append(formula(text[start : token.start], stacked=stacked))
            pieces.append("\u2003" if token.gap > 1 else "")
            start = token.start
    if text[start:].strip() or not pieces:
        pieces.append(formula(text[start:], stacked=stacked))
    return "".join(pieces).strip(" ")


def _remark(found: list[Token], start: int) -> int:
    """The index after the words that begin at one; no remark is shorter than two words."""
    stop = start
    words = 0
    for index in range(start, len(found)):
        token, after = found[index], found[index + 1] if index + 1 < len(found) else None
        joint = after is not None and after.gap == 1 and _is_word(after) and words > 0
        if _is_word(token) or (token.text == "a" and joint):
            words += 1
            stop = index + 1
        elif not (token.text == "," and token.gap == 0 and joint):
            break
        if after is None or after.gap > 1 or (after.gap == 0 and after.text != ","):
            break
    return stop if words > 1 else start


def _is_word(token: Token) -> bool:
    short = len(token.text) < 2 or token.text in FUNCTIONS or token.text in GREEK or token.text in _WORDS_OF_MATHS
    return token.kind == "name" and token.text.islower() and not short and not token.text[-1].isdigit()


@dataclass(frozen=True, kw_only=True)
class _Node:
    """A piece of layout. Its role: operand, word (an operand of several letters), call (of a word), bar or operator.

    `bare` is a bracket's content, for where a fraction makes the bracket superfluous.
    """

    xml: str
    role: str
    limits: bool = False
    bare: str = ""

    @property
    def operand(self) -> bool:
        return self.role in ("operand", "word", "call")

    @property
    def level(self) -> str:
        """As it stands above or below the line of a fraction."""
        return f"<mrow>{self.bare}</mrow>" if self.bare else self.xml


class _Parser:
    def __init__(self, found: list[Token], stacked: bool) -> None:
        self.tokens, self.stacked, self.position = found, stacked, 0

    def peek(self, ahead: int = 0) -> Token | None:
        at = self.position + ahead
        return self.tokens[at] if 0 <= at < len(self.tokens) else None

    def tight(self, *texts: str) -> bool:
        """The next token is one of these and touches the one before."""
        token = self.peek()
        return token is not None and token.gap == 0 and token.text in texts

    def row(self, *, inside: bool = False) -> str:
        """Pieces side by side, up to the end, or up to the bracket that closes."""
        nodes: list[_Node] = []
        pieces: list[str] = []
        while (token := self.peek()) is not None:
            if token.text in _CLOSE and inside:
                break
            if token.text == "/" and self._fraction(nodes, pieces):
                continue
            node = self._next(nodes)
            if (
                nodes
                and nodes[-1].operand
                and (node.role in ("word", "call") or (node.operand and nodes[-1].role == "word"))
            ):
                pieces.append('<mspace width="0.25em"></mspace>')
            nodes.append(node)
            pieces.append(node.xml)
        return "".join(pieces)

    def _fraction(self, nodes: list[_Node], pieces: list[str]) -> bool:
        """Stacks the piece before a slash on the one after it, where it is clear that these two are all."""
        slash, after = self.peek(), self.peek(1)
        if not self.stacked or not nodes or nodes[-1].role not in ("operand", "call") or slash is None or after is None:
            return False
        touching = slash.gap == 0 and after.gap == 0
        if not touching and len(nodes) > 1 and nodes[-2].role != "operator":
            return False
        start = self.position
        self.position += 1
        if after.text in ("|", "||", "-") or after.text in _CLOSE:
            self.position = start
            return False
        below = self.operand()
        following = self.peek()
        alone = (
            following is None or following.gap > 1 or (following.kind == "sign" and following.text not in _OPEN | {"|"})
        )
        if below.role not in ("operand", "call") or not (touching or alone):
            self.position = start
            return False
        xml = f"<mfrac>{nodes[-1].level}{below.level}</mfrac>"
        nodes[-1], pieces[-1] = _Node(xml=xml, role="operand"), xml
        return True

    def _next(self, nodes: list[_Node]) -> _Node:
        token = self.peek()
        assert token is not None
        if token.text == "x" and self._times():
            self.position += 1
            return _Node(xml="<mo>×</mo>", role="operator")
        if token.text == "in" and nodes and nodes[-1].operand:
            self.position += 1
            return _Node(xml="<mo>∈</mo>", role="operator")
        if token.kind == "sign" and token.text not in _OPEN | {"|", "||"}:
            return self._operator(nodes)
        return self.operand()

    def _times(self) -> bool:
        """An x between two numbers, two equal names or two words."""
        before, after = self.peek(-1), self.peek(1)
        if before is None or after is None or not after.gap:
            return False
        words = all(
            len(one.text) > 2 and one.text not in FUNCTIONS and one.text not in GREEK for one in (before, after)
        )
        names = before.kind == after.kind == "name" and (before.text == after.text or words)
        return before.kind == after.kind == "number" or names

    def _operator(self, nodes: list[_Node]) -> _Node:
        token = self.peek()
        assert token is not None
        if token.text in ("_", "^") or token.text not in _PLAIN | _OPERATORS.keys() | _CLOSE:
            raise Unreadable(token.text)
        self.position += 1
        sign = escape(_OPERATORS.get(token.text, token.text))
        if token.text in _CLOSE:
            raise Unreadable(token.text)
        if token.text in _SEPARATORS:
            form = ' separator="true" lspace="0" rspace="0.25em"' if token.text != ":" else ""
        elif token.text in ("-", "+", "+-", "#"):
            form = f' form="{self._form(token, nodes)}"'
        else:
            form = ""
        return _Node(xml=f"<mo{form}>{sign}</mo>", role="operator")

    def _form(self, token: Token, nodes: list[_Node]) -> str:
        """Whether a sign belongs to what is after it alone: after an operator, or where only that touches it."""
        after = self.peek()
        touches = after is not None and after.gap == 0
        if nodes and nodes[-1].role == "operator":
            return "prefix"
        return "prefix" if touches and (not nodes or token.gap > 0) else "infix"

    def operand(self) -> _Node:
        """A number, a name with what it is applied to, a bracket or a bar, with its scripts."""
        token = self.peek()
        if token is None:
            raise Unreadable("nothing where an operand should be")
        if token.text in _OPEN:
            return self._scripts(self._group())
        self.position += 1
        if token.kind == "number":
            return self._scripts(_Node(xml=f"<mn>{escape(token.text)}</mn>", role="operand"))
        if token.text in ("|", "||"):
            return self._bar(token)
        if token.kind != "name":
            raise Unreadable(token.text)
        if token.text == "sqrt" and (following := self.peek()) is not None and following.text == "(":
            self.position += 1
            inner = self.row(inside=True)
            self._close()
            return self._scripts(_Node(xml=f"<msqrt><mrow>{inner}</mrow></msqrt>", role="operand"))
        node = self._scripts(_name(token.text))
        if self.tight("(", "["):
            role = "call" if node.role == "word" else "operand"
            return self._scripts(_Node(xml=f"<mrow>{node.xml}{self._group().xml}</mrow>", role=role))
        return node

    def _bar(self, token: Token) -> _Node:
        following = self.peek()
        between = token.gap > 0 and following is not None and following.gap > 0
        space = "" if between else ' lspace="0" rspace="0"'
        sign = _OPERATORS.get(token.text, token.text)
        return self._scripts(_Node(xml=f'<mo stretchy="false"{space}>{sign}</mo>', role="bar"))

    def _group(self) -> _Node:
        token = self.peek()
        assert token is not None
        self.position += 1
        inner = self.row(inside=True)
        closing = self._close()
        fence = "<mo>" if "<mfrac" in inner or "<munder" in inner else '<mo stretchy="false">'
        xml = f"<mrow>{fence}{token.text}</mo>{inner}{fence}{closing}</mo></mrow>"
        bare = inner if token.text == "(" else ""
        if bare.startswith("<mfrac>") and bare.find("</mfrac>") == len(bare) - 8 and not self.tight("^", "_", "'"):
            return _Node(xml=bare, role="operand")  # (1/n), stacked, needs no bracket
        return _Node(xml=xml, role="operand", bare=bare)

    def _close(self) -> str:
        token = self.peek()
        if token is None or token.text not in _CLOSE:
            raise Unreadable("a bracket is not closed")
        self.position += 1
        return token.text

    def _scripts(self, node: _Node) -> _Node:
        """What hangs on a piece: index, exponent, primes, star, tilde, hat."""
        below, above = "", []
        while True:
            after = self.peek(1)
            apart = after is None or after.gap > 0 or after.text in _SEPARATORS | _CLOSE
            if self.tight("~") and (apart or (after is not None and after.text in ("(", "_", "^"))):
                node = _accented(node, "~")
            elif self.tight("^") and apart:
                node = _accented(node, "^")
            elif self.tight("'"):
                above.append("<mo>′</mo>")
            elif self.tight("*") and (apart or (after is not None and after.text in ("(", "_"))):
                above.append("<mo>∗</mo>")
            elif self.tight("_") and not below:
                self.position += 1
                below = self._script()
                continue
            elif self.tight("^"):
                self.position += 1
                above.append(self._script(exponent=True))
                continue
            else:
                break
            self.position += 1
        up = above[0] if len(above) == 1 else f"<mrow>{''.join(above)}</mrow>"
        if below and node.limits and self.stacked:
            xml = f"<munder>{node.xml}{below}</munder>"
            return _Node(xml=f"<msup>{xml}{up}</msup>" if above else xml, role=node.role)
        if below and above:
            return _Node(xml=f"<msubsup>{node.xml}{below}{up}</msubsup>", role=_scripted(node))
        if below:
            return _Node(xml=f"<msub>{node.xml}{below}</msub>", role=_scripted(node))
        return _Node(xml=f"<msup>{node.xml}{up}</msup>", role=_scripted(node)) if above else node

    def _script(self, *, exponent: bool = False) -> str:
        """What follows `_` or `^`: a bracket, which is left out, or one piece with a sign before or an index after."""
        token = self.peek()
        if token is None or token.gap:
            raise Unreadable("nothing after _ or ^")
        if token.text in ("(", "{"):
            self.position += 1
            inner = self.row(inside=True)
            self._close()
            return f"<mrow>{inner}</mrow>"
        self.position += 1
        if token.text in ("<", "-"):
            return (
                f'<mrow><mo form="prefix">{escape(_OPERATORS.get(token.text, token.text))}</mo>{self._script()}</mrow>'
            )
        if token.kind == "sign":
            raise Unreadable(token.text)
        xml = f"<mn>{escape(token.text)}</mn>" if token.kind == "number" else _index(token.text)
        if exponent and self.tight("_"):
            self.position += 1
            return f"<msub>{xml}{self._script()}</msub>"
        return xml


def _scripted(node: _Node) -> str:
    return "operand" if node.operand and not node.limits else node.role


def _accented(node: _Node, accent: str) -> _Node:
    return _Node(xml=f'<mover accent="true">{node.xml}<mo stretchy="false">{accent}</mo></mover>', role=node.role)


def _letter(name: str) -> str | None:
    """The one letter that a name stands for."""
    if name == "oo":
        return "∞"
    return GREEK.get(name, name if len(name) == 1 else None)


def _name(name: str) -> _Node:
    if name in _LARGE:
        return _Node(xml=f"<mo>{_LARGE[name]}</mo>", role="operator", limits=True)
    if letter := _letter(name):
        return _Node(xml=f"<mi>{letter}</mi>", role="operand")
    if name.endswith("bar") and (letter := _letter(name[:-3])):
        return _accented(_Node(xml=f"<mi>{letter}</mi>", role="operand"), "¯")
    if name[0].isalpha() and name[1:].isdigit():
        return _Node(xml=f"<msub><mi>{name[0]}</mi><mn>{name[1:]}</mn></msub>", role="operand")
    if re.fullmatch("d[fstuvxyz]", name):
        return _Node(xml=f"<mrow><mi>d</mi><mi>{name[1]}</mi></mrow>", role="operand")
    return _Node(xml=f"<mi>{escape(name)}</mi>", role="word", limits=name in _UNDER)


def _index(name: str) -> str:
    """A name as an index: two small letters are two indices."""
    if len(name) == 2 and name.islower() and not _letter(name):
        return f"<mrow><mi>{name[0]}</mi><mi>{name[1]}</mi></mrow>"
    return _name(name).xml
