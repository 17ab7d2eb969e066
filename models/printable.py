"""Text that somebody typed, made fit to be shown inside a message.

A message goes to a terminal, a log or a page. Control characters would move the cursor there, bidirectional overrides
would reorder the sentence around them, invisible characters would hide, and lone surrogates cannot be encoded at all.
"""

from __future__ import annotations


def printable(text: str) -> str:
    r"""The text with every character that is not printable as its escape: ``\n``, ``\x1b``, ``\u202e``, ``\ud800``.

    Escaped is what `str.isprintable` leaves out: the Unicode categories C (control, format, surrogate, private use,
    unassigned) and Z (separators) but for the space. Everything else stays as it is, backslashes too, so that what was
    escaped once is not escaped again: ``printable(printable(t)) == printable(t)``.
    """
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else _escaped(character) for character in text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
