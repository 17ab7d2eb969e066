"""What a page says in words: the one place where text meets Streamlit's Markdown.

Whatever an address, a reader or an error brings is text, never Markdown or HTML: no image is fetched, no star is lost.
:func:`error`, :func:`warning`, :func:`info`, :func:`caption`, :func:`text`, :func:`spinner` and :func:`progress` take
plain text. :func:`markdown` takes
Markdown of ours; what it is filled with is plain.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from models.printable import printable

_JOINER = "\u2060"
"""Takes no space and no line break; parts what Streamlit would join after Markdown is read: emoji, links, arrows."""

_SPECIAL = re.compile(r"[\\`*\[\]<>$~#|&]|(?<![^\W_])_|_(?![^\W_])|:(?=[A-Za-z])")
_JOINED = re.compile(
    r"(?<=:)(?=[\w+/-]+:|//)|(?<=@)(?=\w)|(?<=\bwww)(?=\.)"
    # Words that are drawn as an arrow, a dash or a sign.
    r"|(?:(?<=^.)|(?<=\s.))(?<=[<>~-])(?=(?:[-=]|>|->)(?:\s|$))",
    re.IGNORECASE,
)
_LINE_START = re.compile(r"^([-+=]|\d+(?=[.)]))")


def escape_markdown(text: str) -> str:
    """Text as Markdown that shows it as it is, a paragraph per line.

    Characters that cannot be seen, and those that turn the direction of writing, are shown by their escapes.
    """
    lines = [_escaped_line(printable(line.strip())) for line in text.split("\n") if line.strip()]
    return "\n\n".join(lines)


def code(text: str) -> str:
    """Text as a Markdown code span."""
    shown = printable(" ".join(text.split()))
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", shown)), default=0))
    pad = " " if shown.startswith("`") or shown.endswith("`") or not shown else ""
    return f"{fence}{pad}{shown}{pad}{fence}"


def error(message: str) -> None:
    """Plain text in a red box."""
    st.error(escape_markdown(message))


def warning(message: str, place: DeltaGenerator | None = None) -> None:
    """Plain text in a yellow box."""
    _at(place).warning(escape_markdown(message))


def info(message: str) -> None:
    """Plain text in a blue box."""
    st.info(escape_markdown(message))


def caption(message: str, place: DeltaGenerator | None = None) -> None:
    """Plain text in small letters."""
    _at(place).caption(escape_markdown(message))


def text(message: str) -> None:
    """Plain text, a paragraph per line."""
    st.markdown(escape_markdown(message))


def bullets(lines: Iterable[str]) -> None:
    """Plain text, each line after a bullet."""
    st.markdown("\n".join(f"- {escape_markdown(line)}" for line in lines))


def spinner(message: str) -> AbstractContextManager[None]:
    """Plain text beside a wheel and the time that passes, while the body works."""
    return st.spinner(escape_markdown(message), show_time=True)


def progress(share: float, message: str, place: DeltaGenerator | None = None) -> None:
    """A bar that is full at share 1, under plain text."""
    _at(place).progress(min(1.0, share), escape_markdown(message))


def markdown(
    template: str, place: DeltaGenerator | None = None, box: str = "markdown", **values: object
) -> None:
    """Our Markdown; every `{name}` in it becomes the value of that name as plain text.

    box: `info`, `warning` or `error` for a box of that kind.
    """
    filled = {name: escape_markdown(str(value)) for name, value in values.items()}
    getattr(_at(place), box)(template.format(**filled) if filled else template)


def _at(place: DeltaGenerator | None) -> Any:
    return st if place is None else place


def _escaped_line(line: str) -> str:
    escaped = _SPECIAL.sub(r"\\\g<0>", _JOINED.sub(_JOINER, line))
    return _LINE_START.sub(_escaped_start, escaped)


def _escaped_start(found: re.Match[str]) -> str:
    """The mark of a list or a heading, without its meaning: `1.` as `1\\.`."""
    return f"{found[0]}\\" if found[0].isdigit() else f"\\{found[0]}"
