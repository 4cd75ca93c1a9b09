"""HTML that cannot be broken by its content: text is escaped unless it was made by ``tag``."""

import json
from collections.abc import Iterable
from html import escape
from typing import Any

_VOID = {"img", "br", "hr", "input", "meta", "col"}


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def tag(name: str, /, *children: Any, **attributes: Any) -> Markup:
    """``<name attributes>children</name>``; children and attribute values are escaped unless they are ``Markup``.

    A trailing underscore of an attribute's name is dropped, others become hyphens; ``None`` leaves an attribute out.

    >>> tag("p", "a < b", class_="x")
    '<p class="x">a &lt; b</p>'
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _VOID:
        return Markup(f"<{name}{written}>")
    return Markup(f"<{name}{written}>{joined(children)}</{name}>")


def joined(children: Iterable[Any]) -> Markup:
    """Children one after the other; those that are lists are joined too, ``None`` is nothing."""
    return Markup("".join(_child(child) for child in children))


def _child(child: Any) -> str:
    if child is None:
        return ""
    if isinstance(child, Markup):
        return child
    return joined(child) if isinstance(child, list | tuple) else escape(str(child))


def data_block(name: str, content: Any) -> Markup:
    """JSON for the page's own script. No ``<`` survives, so nothing in it can end the block or begin another."""
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(f'<script type="application/json" id="{escape(name)}">{text}</script>')


def table(head: list[Any], rows: Iterable[list[Any]], row_classes: Iterable[str | None] | None = None) -> Markup:
    """A table that scrolls sideways on a phone, its first column as row heads; a row of one cell heads those below."""
    rows = list(rows)
    classes = list(row_classes) if row_classes is not None else [None] * len(rows)
    body = [
        tag("tr", _head_cell(row, len(head)), [tag("td", cell) for cell in row[1:]], class_=kind)
        for row, kind in zip(rows, classes, strict=True)
    ]
    heads = [tag("th", cell, scope="col") for cell in head]
    return tag("div", tag("table", tag("thead", tag("tr", heads)), tag("tbody", body)), class_="scroll", tabindex="0")


def _head_cell(row: list[Any], columns: int) -> Markup:
    if len(row) == 1 < columns:
        return tag("th", tag("span", row[0]), scope="rowgroup", colspan=columns)
    return tag("th", row[0], scope="row")
