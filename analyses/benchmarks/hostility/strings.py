"""Pieces that break things: characters, numbers, names, and ways to damage a text or bytes."""

from __future__ import annotations

import random
from collections.abc import Sequence

CHARACTERS = (
    *(
        "\x00",
        "\x07",
        "\x1b[2J",
        "\x7f",
        "\x85",
        "\u200b",
        "\u200d",
        "\u202e",
        "\u2066",
        "\u2028",
        "\ufeff",
        "\ud800",
    ),
    *(
        "\udfff",
        "\uffff",
        "\ue000",
        "\U000e0041",
        "\u0301",
        "\u0323",
        "\u0344",
        "\u0131",
        "\u212a",
        "\ufdfa",
        "\u0e33",
    ),
    *(
        "²",
        "٣",
        "१",
        "Ⅷ",
        "½",
        "·",
        "×",
        "−",
        "⇒",
        "é",
        "数",
        "🙂",
        "\\",
        "'",
        '"',
        "`",
        "$",
        "%",
        "&",
        "*",
        "[/x]",
    ),
)
NUMBERS = (
    *(
        "0",
        "1",
        "2",
        "-1",
        "-0",
        "+1",
        "00",
        "007",
        "1.5",
        "1e3",
        "1e999",
        "-1e999",
        "nan",
        "-nan",
        "inf",
        "-inf",
        "0x10",
    ),
    *(
        "1_0",
        "²",
        "٣",
        "½",
        "2147483648",
        "4294967296",
        "9223372036854775808",
        "-9223372036854775809",
        "9" * 30,
        "9" * 5000,
    ),
    *(
        "1:9999999999",
        "0:9999999999999",
        "0:99999",
        "1:2:3",
        "5:1",
        "::",
        "0,",
        ",0",
        "0,0,0",
        "1-3",
        "999999999",
    ),
)
WORDS = (
    *(
        "",
        " ",
        "-",
        "--",
        "---",
        ".",
        "..",
        "/",
        "~",
        "*",
        "all",
        "together",
        "None",
        "null",
        "true",
        "False",
        "yes",
        "x",
    ),
    *(
        "compiled",
        "tiny",
        "meta",
        "cuda",
        "ADD",
        "MUL,MUL",
        "DIV",
        "value",
        "rhs",
        "logits",
        "state",
        "resid_post",
        "z",
    ),
    *(
        "blocks.0.attn.hook_z",
        "blocks.x.hook_z",
        "steps.999999999.blocks.0.hook_resid_pre",
        "operand:0:0",
        "rhs:²",
        "a.b.c",
    ),
    *(
        "__class__",
        "{}",
        "{0}",
        "%s",
        "$HOME",
        "`id`",
        "; rm",
        "[]",
        "[[",
        "{a: 1}",
        "!!int abc",
        "&a *a",
        "<b>",
        "../..",
        "con",
    ),
)


def hostile_word(draw: random.Random) -> str:
    """A word, a number, a character, or several of them; now and then a very long one."""
    kind = draw.random()
    if kind < 0.3:
        return draw.choice(NUMBERS)
    if kind < 0.6:
        return draw.choice(WORDS)
    if kind < 0.75:
        return draw.choice(CHARACTERS)
    if kind < 0.8:
        return draw.choice(CHARACTERS + WORDS) * draw.choice((2, 31, 1000, 20_000))
    if kind < 0.9:
        return "".join(draw.choice(CHARACTERS + NUMBERS[:20] + WORDS) for _ in range(draw.randint(2, 5)))
    return "".join(chr(draw.randrange(0x110000)) for _ in range(draw.randint(1, 12)))


def damaged(draw: random.Random, pieces: Sequence[str], hostile: Sequence[str], most: int = 4) -> list[str]:
    """The pieces after some of: one replaced, doubled, taken out, moved, put in, many times repeated."""
    pieces = list(pieces)
    for _ in range(draw.randint(1, most)):
        place = draw.randrange(len(pieces) + 1)
        there = pieces[place : place + 1]
        change = draw.randrange(7)
        if change == 0:
            pieces[place : place + 1] = [draw.choice(hostile)]
        elif change == 1:
            pieces[place:place] = there
        elif change == 2:
            del pieces[place : place + draw.randint(1, 3)]
        elif change == 3:
            del pieces[place : place + 1]
            pieces.insert(draw.randrange(len(pieces) + 1), "".join(there))
        elif change == 4:
            pieces.insert(place, hostile_word(draw))
        elif change == 5:
            pieces[place:place] = there * draw.choice((2, 10, 300))
        else:
            pieces.insert(place, draw.choice(hostile))
    return pieces


def damaged_bytes(draw: random.Random, content: bytes) -> bytes:
    """The bytes after bits were flipped, a part was cut out, doubled, zeroed or put in, or the end was cut."""
    data = bytearray(content)
    for _ in range(draw.choice((1, 1, 2, 8))):
        place = draw.randrange(len(data) + 1)
        size = draw.choice((1, 2, 8, 64, 1000))
        change = draw.randrange(7)
        if change <= 1 and place < len(data):
            data[place] ^= 1 << draw.randrange(8)
        elif change == 2:
            del data[place:]
        elif change == 3:
            del data[place : place + size]
        elif change == 4:
            data[place:place] = data[place : place + size]
        elif change == 5:
            data[place : place + size] = bytes(len(data[place : place + size]))
        else:
            data[place:place] = draw.randbytes(size)
    return bytes(data)
