"""Damaged checkpoints: flipped bits, cut ends, exchanged tensors, other dtypes, edited headers; accepted ones were
loaded although they are damaged.
"""

from __future__ import annotations

import json
import random
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save

from analyses.benchmarks.hostility.judge import ACCEPTED, REFUSED, Case, WrongAnswerError
from analyses.benchmarks.hostility.strings import CHARACTERS, damaged, damaged_bytes
from analyses.benchmarks.hostility.tiny import save_tiny
from models.graph import ComputationGraph
from models.loading import load
from models.storage import WEIGHTS_NAME, CheckpointError
from models.training.checkpoint import CheckpointError as TrainingCheckpointError
from models.training.checkpoint import load_checkpoint, save_checkpoint

_POSITIONS = ("relative_bias", "rotary", "absolute", "deberta", "none")
_DTYPES = (
    "F64",
    "F16",
    "BF16",
    "I64",
    "I32",
    "U8",
    "BOOL",
    "F8_E5M2",
    "F8_E4M3",
    "F4",
    "C64",
    "U64",
    "X",
    "",
    None,
    5,
)
_TYPES = (
    *(torch.float64, torch.float16, torch.int64, torch.uint8, torch.bool),
    *(torch.float8_e5m2, torch.complex64),
)
_NUMBERS = (0, -1, 1, 2, 3, 10**6, 2**31, 2**63, 10**30, 1.5, None, "x", [])


def damaged_checkpoint(draw: random.Random, folder: Path) -> Case:
    """A model's folder with damaged weights, or a training checkpoint with damaged bytes."""
    if draw.random() < 0.1:
        return _training(draw, folder)
    positions = draw.choice(_POSITIONS)
    whole = _whole(folder, positions)
    content = (whole / WEIGHTS_NAME).read_bytes()
    damage = draw.choice((_bytes, _header, _header_text, _exchanged, _dtypes, _other_file))
    broken = damage(draw, content)
    target = folder / "damaged"
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(whole, target)
    (target / WEIGHTS_NAME).write_bytes(broken)
    return Case(f"{positions}, {damage.__name__.strip('_')}", lambda: _load(target, broken == content))


@cache
def _whole(folder: Path, positions: str) -> Path:
    saved = save_tiny(folder / positions, positions)
    _load(saved, undamaged=True)
    return saved


def _load(folder: Path, undamaged: bool) -> str:
    try:
        model = load(folder)
    except CheckpointError as error:
        if undamaged or not str(error):
            raise WrongAnswerError(f"an undamaged model, or no reason: {error}") from error
        return REFUSED
    model.run(ComputationGraph.parse("1 = a; 2 = b; a + b = c", 5, 16), n_steps=3)
    return REFUSED if undamaged else ACCEPTED


def _bytes(draw: random.Random, content: bytes) -> bytes:
    return damaged_bytes(draw, content)


def _split(content: bytes) -> tuple[dict[str, Any], bytes]:
    size = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + size]), content[8 + size :]


def _joined(header: bytes, data: bytes) -> bytes:
    return len(header).to_bytes(8, "little") + header + data


def _header(draw: random.Random, content: bytes) -> bytes:
    """One field of a tensor's entry is another."""
    header, data = _split(content)
    for _ in range(draw.randint(1, 3)):
        name = draw.choice(list(header))
        entry = header[name]
        change = draw.randrange(6)
        if change == 0:
            header[draw.choice(("x", "", "blocks.999999999.w", "blocks.", "\x00"))] = header.pop(name)
        elif change == 1:
            header[name] = draw.choice((None, 5, [], {}, "x"))
        elif isinstance(entry, dict):
            field = draw.choice(("dtype", "shape", "data_offsets"))
            if field == "dtype":
                entry[field] = draw.choice(_DTYPES)
            else:
                entry[field] = [draw.choice(_NUMBERS) for _ in range(draw.randint(0, 4))]
    return _joined(json.dumps(header).encode(), data)


def _header_text(draw: random.Random, content: bytes) -> bytes:
    """The header's JSON, or its length, is damaged."""
    header, data = _split(content)
    text = "".join(
        damaged(draw, list(json.dumps(header)), (*'{}[]:,"\\0123456789', *CHARACTERS, "[" * 5_000))
    )
    joined = _joined(text.encode("utf-8", "surrogatepass"), data)
    if draw.random() < 0.3:
        joined = draw.choice((0, 1, 2**20, 2**31, 2**63, 2**64 - 1)).to_bytes(8, "little") + joined[8:]
    return joined


def _exchanged(draw: random.Random, content: bytes) -> bytes:
    """Two tensors have each other's names."""
    header, data = _split(content)
    one, other = draw.sample([name for name in header if name != "__metadata__"], 2)
    header[one], header[other] = header[other], header[one]
    return _joined(json.dumps(header).encode(), data)


def _dtypes(draw: random.Random, content: bytes) -> bytes:
    """Tensors of other types, shapes and values, in a file that is right as such."""
    tensors = load_tensors(content)
    for _ in range(draw.randint(1, 3)):
        name = draw.choice(list(tensors))
        change = draw.randrange(5)
        if change == 0:
            tensors[name] = tensors[name].to(draw.choice(_TYPES))
        elif change == 1:
            tensors[name] = torch.full_like(tensors[name], draw.choice((float("nan"), float("inf"), 0.0)))
        elif change == 2:
            tensors[name] = tensors[name].flatten()[:: draw.randint(1, 3)].clone()
        elif change == 3:
            tensors[name + draw.choice(("", ".x", "\n"))] = tensors.pop(name)
        else:
            tensors[name] = tensors[name].new_empty(0, 3)
    return save(tensors, metadata={"format": "pt"})


def _other_file(draw: random.Random, content: bytes) -> bytes:
    """Not such a file at all."""
    others = (
        b"",
        b"\x00" * 8,
        b"{}",
        b"PK\x03\x04" + content,
        content[8:],
        b"\x80\x04." * 9,
        draw.randbytes(500),
    )
    return draw.choice(others)


def _training(draw: random.Random, folder: Path) -> Case:
    path = folder / "checkpoint.pt"
    save_checkpoint(path, {"step": 3, "model": {"w": torch.arange(6.0)}, "settings": "{}"})
    content = path.read_bytes()
    broken = damaged_bytes(draw, content)
    path.write_bytes(broken)
    return Case("checkpoint.pt", lambda: _load_training(path, broken == content))


def _load_training(path: Path, undamaged: bool) -> str:
    try:
        load_checkpoint(path)
    except TrainingCheckpointError:
        return REFUSED
    return REFUSED if undamaged else ACCEPTED
