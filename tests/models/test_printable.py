"""What is typed cannot move the cursor, reorder or break a message."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.printable import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text, with a \\ and 'quotes'", "plain text, with a \\ and 'quotes'"),
        ("сумма 数 é × → ·", "сумма 数 é × → ·"),
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ("one\ntwo\r\tthree\x00\x7f\x85", "one\\ntwo\\r\\tthree\\x00\\x7f\\x85"),
        ("abc\u202egnp.exe\u2066", "abc\\u202egnp.exe\\u2066"),
        ("lone \ud800 surrogate", "lone \\ud800 surrogate"),
        ("zero\u200bwidth\ufeff\u2028\u2029", "zero\\u200bwidth\\ufeff\\u2028\\u2029"),
        ("\U000e0041 tag, \uffff no character", "\\U000e0041 tag, \\uffff no character"),
    ],
)
def test_hidden_characters_are_written_as_escapes(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(st.text(alphabet=st.characters(), max_size=60))
def test_always_encodable_one_line_and_stable(text: str) -> None:
    shown = printable(text)
    shown.encode("utf-8")
    assert not any(unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp") for character in shown)
    assert shown.isprintable()
    assert printable(shown) == shown
