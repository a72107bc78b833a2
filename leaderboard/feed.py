"""The changes of a leaderboard as an Atom feed (RFC 4287): the same entries give the same bytes."""

from __future__ import annotations

import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree import ElementTree

_ATOM = "http://www.w3.org/2005/Atom"
_NAMES = uuid.uuid5(uuid.NAMESPACE_DNS, "genbench.invalid")  # ours alone: no host has such a name
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One change: what is never said of another (`name`), when (`2026-03-01T12:00:00Z`), where, in words."""

    name: str
    title: str
    updated: str
    address: str
    summary: str


def atom(title: str, entries: Sequence[Entry], address: str = "feed.atom") -> bytes:
    """The feed, newest entry first; addresses are relative to the feed's own."""
    ElementTree.register_namespace("", _ATOM)
    newest = sorted(entries, key=lambda one: (one.updated, one.name), reverse=True)
    feed = ElementTree.Element(f"{{{_ATOM}}}feed")
    _text(feed, "id", _identifier("feed"))
    _text(feed, "title", title)
    _text(feed, "updated", newest[0].updated if newest else "1970-01-01T00:00:00Z")
    _text(_child(feed, "author"), "name", "genbench")
    _child(feed, "link").attrib.update(rel="self", type="application/atom+xml", href=address)
    _child(feed, "link").attrib.update(rel="alternate", type="text/html", href="history.html")
    for one in newest:
        entry = _child(feed, "entry")
        _text(entry, "id", _identifier(one.name))
        _text(entry, "title", one.title)
        _text(entry, "updated", one.updated)
        _child(entry, "link").attrib.update(rel="alternate", type="text/html", href=one.address)
        _text(entry, "summary", one.summary)
    ElementTree.indent(feed, " ")
    return bytes(ElementTree.tostring(feed, encoding="utf-8", xml_declaration=True)) + b"\n"


def _child(parent: ElementTree.Element, name: str) -> ElementTree.Element:
    return ElementTree.SubElement(parent, f"{{{_ATOM}}}{name}")


def _text(parent: ElementTree.Element, name: str, text: str) -> None:
    _child(parent, name).text = _NOT_XML.sub("\ufffd", text)


def _identifier(name: str) -> str:
    return f"urn:uuid:{uuid.uuid5(_NAMES, name)}"
