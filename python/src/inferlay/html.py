"""Tables for notebooks."""

from __future__ import annotations

import html
from typing import Iterable, Sequence


def table(title: str, heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table of HTML.

    >>> table("models", ["name"], [["a<b"]])
    '<table><caption>models</caption><tr><th>name</th></tr><tr><td>a&lt;b</td></tr></table>'
    """
    head = "".join(f"<th>{html.escape(text)}</th>" for text in heads)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><caption>{html.escape(title)}</caption><tr>{head}</tr>{body}</table>"
