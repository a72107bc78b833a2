"""Numbers and foreign text as they are printed, on the page and in the terminal alike.

Symbols: v a value, [l, h] its interval, d the number of decimals.
"""

from __future__ import annotations

import math
import unicodedata

_REPLACED = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})  # controls, direction marks, surrogates, private use


def plain(text: str, limit: int = 2000) -> str:
    """Text from a record made harmless to print: one line, no control or direction characters, at most `limit` long.

    Terminal escapes and right-to-left overrides would let a name pass for another; they become U+FFFD.
    """
    line = " ".join(text.split())
    if not (line.isascii() and line.isprintable()):
        line = "".join("\ufffd" if unicodedata.category(character) in _REPLACED else character for character in line)
    return line if len(line) <= limit else line[: limit - 1] + "…"


def _decimals(value: float, low: float, high: float) -> int:
    """d such that half the interval keeps two significant digits; four digits of the value where it has no width."""
    half = (high - low) / 2
    if half == 0 and value == int(value):
        return 0
    scale, digits = (half, 2) if half > 0 and math.isfinite(half) else (abs(value), 4)
    if scale == 0 or not math.isfinite(scale):
        return 0
    return min(max(digits - 1 - math.floor(math.log10(scale)), 0), 6)


def fixed(value: float, decimals: int) -> str:
    """A number with so many decimals, a true minus sign, and powers of ten where zeros would hide it."""
    if value and not 1e-5 <= abs(value) < 1e7:
        mantissa, _, exponent = f"{value:.1e}".partition("e")
        text = f"{mantissa}e{int(exponent)}"
    else:
        text = f"{value:.{decimals}f}"
    if text.startswith("-"):
        text = text[1:] if not text.strip("-0.") else "\u2212" + text[1:]
    return text.replace("e-", "e\u2212")


def measured(value: float, low: float, high: float) -> tuple[str, str]:
    """The value and its interval as texts with the same number of decimals: ("12.3", "[11.9, 12.8]")."""
    decimals = _decimals(value, low, high)
    return fixed(value, decimals), f"[{fixed(low, decimals)}, {fixed(high, decimals)}]"


def count(number: int) -> str:
    """A whole number with thin spaces between thousands; what no count reaches is cut short."""
    return f"{number:,}".replace(",", "\u202f") if number < 10**15 else "more than 10^15"


def compact(number: int) -> str:
    """A whole number to three digits: `950`, `12.3 k`, `1.23 M`."""
    for size, letter in ((10**12, "T"), (10**9, "G"), (10**6, "M"), (10**3, "k")):
        if size <= number < 10**15:
            return (
                f"{number / size:.3g}\u202f{letter}" if number / size < 999.5 else f"{number / size:.0f}\u202f{letter}"
            )
    return count(number)


def duration(seconds: float) -> str:
    """`0.4 s`, `12 s`, `3.5 min`, `2.1 h`."""
    for size, unit in ((3600.0, "h"), (60.0, "min")):
        if seconds >= 1.5 * size:
            return f"{fixed(seconds / size, 1)}\u202f{unit}"
    return f"{fixed(seconds, 1 if seconds < 9.95 else 0)}\u202fs"


def plural(number: int, noun: str, many: str = "") -> str:
    """`1 record`, `2 records`."""
    return f"{count(number)} {noun if number == 1 else many or noun + 's'}"


def spaced(protocol: str) -> str:
    """A protocol with room to break the line: `digitnet@3f2a, test, n=1000`."""
    return plain(protocol.replace(",", ", "))


def shortened(text: str, limit: int = 60) -> str:
    """Foreign text for a place with little room."""
    return plain(text, limit)
